package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// pollEvery is how often the plain client asks Consul who is passing: more often than most.
const pollEvery = time.Second

// plain is what people use without onehop: the passing instances, polled from Consul, taken in turn.
type plain struct {
	consul string
	client *http.Client
	turn   atomic.Uint64
	list   atomic.Pointer[[]string] // of the HTTP service; an empty answer or none leaves the last
	grpc   *manual.Resolver
}

func newPlain(consul string) *plain {
	return &plain{consul: consul, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, grpc: manual.NewBuilderWithScheme("plain")}
}

// url is the next instance's.
func (p *plain) url() string {
	list := *p.list.Load()
	return "http://" + list[p.turn.Add(1)%uint64(len(list))] + "/charges"
}

// dial makes a connection to the gRPC service with grpc-go's own round_robin.
func (p *plain) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("plain:///"+grpcService, grpc.WithResolvers(p.grpc), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
}

// poll keeps both lists until ctx ends.
func (p *plain) poll(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = p.refresh(ctx) // without Consul the last list stays
		}
	}
}

// refresh asks Consul once for each list.
func (p *plain) refresh(ctx context.Context) error {
	web, err := passing(ctx, p.client, p.consul, httpService)
	if err == nil && len(web) > 0 {
		p.list.Store(&web)
	}
	stock, err2 := passing(ctx, p.client, p.consul, grpcService)
	if err2 == nil && len(stock) > 0 {
		state := resolver.State{}
		for _, addr := range stock {
			state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}})
		}
		p.grpc.UpdateState(state)
	}
	return errors.Join(err, err2)
}

// passing asks Consul for the addresses of the passing instances of a service.
func passing(ctx context.Context, client *http.Client, consul, service string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, pollEvery)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+consul+"/v1/health/service/"+service+"?passing", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("consul: %s", resp.Status)
	}
	var entries []struct {
		Service struct {
			Address string
			Port    int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&entries); err != nil {
		return nil, err
	}
	var addrs []string
	for _, e := range entries {
		addrs = append(addrs, net.JoinHostPort(e.Service.Address, strconv.Itoa(e.Service.Port)))
	}
	return addrs, nil
}
