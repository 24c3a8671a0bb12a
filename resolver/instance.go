package resolver

import (
	"cmp"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/onehop-go/onehop/internal/consulapi"
)

// StartedMeta is the service metadata by which an instance says since when it runs: RFC 3339 or seconds since 1970.
// Without it the catalogue's own index stands for the start.
const StartedMeta = "onehop-started"

// maxWeight is the largest of an SRV record, and so of Consul.
const maxWeight = 65535

// endpointOf reads an entry of Consul's health API. An error names the instance.
func endpointOf(entry *consulapi.ServiceEntry, tagged string) (Endpoint, error) {
	if entry == nil || entry.Node == nil || entry.Service == nil {
		return Endpoint{}, errors.New("without a node or a service")
	}
	node, service := entry.Node, entry.Service
	host, port := addressOf(entry, tagged)
	addr, err := joinHostPort(host, port)
	if err != nil {
		return Endpoint{}, fmt.Errorf("service %.80q on node %.80q: %w", service.ID, node.Node, err)
	}
	status, err := statusOf(entry)
	if err != nil {
		return Endpoint{}, fmt.Errorf("service %.80q on node %.80q: %w", service.ID, node.Node, err)
	}
	e := Endpoint{
		Addr:       addr,
		Alternates: alternatesOf(entry, tagged, addr),
		ID:         node.Node + "/" + service.ID,
		Node:       node.Node,
		Datacenter: cmp.Or(node.Datacenter, service.Datacenter),
		Status:     status,
		Started:    startedOf(entry),
		Tags:       service.Tags,
		Meta:       service.Meta,
	}
	weigh(&e, entry)
	e.Region, e.Zone = localityOf(entry)
	return e, checkNames(&e)
}

// maxName is the longest name of an instance or of its place, in bytes; a host's has 255.
const maxName = 512

// checkNames refuses names that would end up in logs and in the labels of metrics as no name should.
func checkNames(e *Endpoint) error {
	for _, name := range []string{e.ID, e.Node, e.Datacenter, e.Region, e.Zone} {
		if len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("the name %.80q is longer than %d bytes, or holds control characters", name, maxName)
		}
	}
	return nil
}

// The checks by which Consul marks maintenance.
const (
	nodeMaintenance    = "_node_maintenance"
	serviceMaintenance = "_service_maintenance:"
)

// statusOf is the worst of all checks, the node's own (serfHealth) included: the checks of an instance stay "passing"
// when its whole node has died. A state this code does not know is critical.
func statusOf(entry *consulapi.ServiceEntry) (Status, error) {
	worst := Passing
	for _, check := range entry.Checks {
		if check == nil {
			return "", errors.New("an empty check")
		}
		switch {
		case check.CheckID == nodeMaintenance, strings.HasPrefix(check.CheckID, serviceMaintenance):
			return Maintenance, nil
		case check.Status == string(Passing):
		case check.Status == string(Warning):
			if worst == Passing {
				worst = Warning
			}
		default:
			worst = Critical
		}
	}
	return worst, nil
}

// weigh gives e the weight of the status. A warning weight of 0 beside a passing weight means that no calls are wanted
// while a check warns; both at 0 are not set.
func weigh(e *Endpoint, entry *consulapi.ServiceEntry) {
	weights := entry.Service.Weights
	e.Weight = weights.Passing
	if e.Status == Warning {
		e.Weight = weights.Warning
		if weights.Warning <= 0 && weights.Passing > 0 {
			e.Status = Critical
		}
	}
	e.Weight = max(1, min(e.Weight, maxWeight))
}

// localityOf is what is registered as locality, which Consul before 1.17 refuses, else the metadata "region" and "zone";
// the service before its node.
func localityOf(entry *consulapi.ServiceEntry) (region, zone string) {
	type place struct{ region, zone string }
	registered := func(l *consulapi.Locality) place {
		if l == nil {
			return place{}
		}
		return place{l.Region, l.Zone}
	}
	described := func(meta map[string]string) place { return place{meta["region"], meta["zone"]} }
	service, node := entry.Service, entry.Node
	at := cmp.Or(registered(service.Locality), described(service.Meta), registered(node.Locality), described(node.Meta))
	return at.region, at.zone
}

// startedOf is since when the instance runs, by its own word. Without one the catalogue's CreateIndex stands for it, as
// a moment of the first day of 1970: no time, but another one when the instance was registered anew.
func startedOf(entry *consulapi.ServiceEntry) time.Time {
	text := entry.Service.Meta[StartedMeta]
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil && sensible(t.Unix()) {
		return t.UTC()
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && sensible(seconds) {
		return time.Unix(seconds, 0).UTC()
	}
	if index := entry.Service.CreateIndex; index > 0 {
		return time.Unix(0, int64(index)).UTC()
	}
	return time.Time{}
}

// sensible seconds since 1970 are those of a year in four digits: no other can be written to the disk cache.
func sensible(seconds int64) bool { return seconds > 0 && seconds < 253402300800 }

// inOrder sorts by address, then ID. (slices.SortFunc is compiled for each type: of an Endpoint into 25 KB.)
func inOrder(set []Endpoint) {
	sort.Slice(set, func(i, j int) bool {
		a, b := &set[i], &set[j]
		return a.Addr < b.Addr || (a.Addr == b.Addr && a.ID < b.ID)
	})
}
