package faults

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// entry is a row of the table: a fault, and what is measured while it lasts.
type entry struct {
	fault, measure string
	missing        string // why there is no test yet
}

// table is every fault the library must survive. LKG: last known good. F0: no idempotent call fails while a healthy
// endpoint, budget and deadline remain.
var table = map[int]entry{
	1:  {fault: "Consul agent down at start", measure: "start within the caller's deadline"},
	2:  {fault: "agent down in flight", measure: "F0 for 1 h"},
	3:  {fault: "agent flapping every second", measure: "Consul requests <= 1/s per watch"},
	4:  {fault: "leader loss", measure: "F0"},
	5:  {fault: "blocking index goes backwards", measure: "update seen <= 1 s"},
	6:  {fault: "index 0 or garbage", measure: "sustained <= 1 request per 15 s"},
	7:  {fault: "empty 200 after ACL loss", measure: "F0"},
	9:  {fault: "list shrinks by 80 % at once", measure: "0 failed; survivors' load <= 1.25 x while the lost answer; all lost dead: <= 1 sequential try each"},
	10: {fault: "malformed, null, nil Service, port out of range", measure: "0 panics"},
	11: {fault: "response drips slowly for ever", measure: "goroutines flat"},
	12: {fault: "429/503 from Consul", measure: "request rate falls"},
	13: {fault: "DNS answer trimmed, with and without the TC bit", measure: "60 of 60"},
	14: {fault: "DNS answer with wrong id, question or zone", measure: "0 misroutes"},
	15: {fault: "NXDOMAIN, TTL 0", measure: "queries <= 1/s"},
	16: {fault: "stale DNS keeps a dead address", measure: "F0"},
	17: {fault: "catalogue of 100,000 entries", measure: "RSS"},
	19: {fault: "membership churn 100/s", measure: "CPU, allocations"},
	20: {fault: "policy document is invalid", measure: "F0"},
	21: {fault: "unknown field", measure: "applied"},
	22: {fault: "absurd values (1e9 attempts, -1 s, 10 h)", measure: "wire attempts <= ceiling"},
	24: {fault: "key deleted / token lost", measure: "no policy flap"},
	25: {fault: "policy changes 10 times a second", measure: "<= 1 swap/s, last value wins"},
	26: {fault: "oversize document", measure: "RSS flat"},
	27: {fault: "UTF-16, BOM, duplicate keys, deep nesting", measure: "no crash"},
	28: {fault: "endpoint SIGKILL", measure: "F0; p99 delta"},
	29: {fault: "SYN blackhole", measure: "at 100 rps <= 1 % of calls touched, each <= connect timeout"},
	30: {fault: "RST on accept", measure: "F0"},
	31: {fault: "headers drip (attempt_timeout set)", measure: "F0"},
	32: {fault: "one slow endpoint of 20", measure: "p99 <= 1.5 x all-healthy"},
	33: {fault: "burst of 5xx", measure: "amplification"},
	34: {fault: "corrupt HTTP, CL/TE conflict", measure: "0 reuse"},
	35: {fault: "half-open HTTP/2 or gRPC connection", measure: "<= 15 s"},
	36: {fault: "certificate expired, wrong name", measure: "0 bytes of request sent"},
	37: {fault: "GOAWAY mid-stream", measure: "0 duplicate executions"},
	39: {fault: "reset in mid-body", measure: "0 mixed bodies"},
	41: {fault: "rolling deploy, deregister then stop", measure: "F0"},
	42: {fault: "context cancelled in backoff or in body", measure: "<= 10 ms, 0 leaks"},
	43: {fault: "body that cannot be replayed", measure: "0 truncated replays"},
	44: {fault: "1 GiB body, both ways", measure: "RSS + 16 MiB"},
	46: {fault: "Close, Do and Update at once", measure: "race-clean"},
	47: {fault: "wall clock jumps an hour", measure: "no mass change"},
	49: {fault: "10,000 goroutines at cold start", measure: "1 Consul query"},
	50: {fault: "total outage, 60 s at >= 100 rps", measure: "wire / calls <= 1.03, 1.000 after the first 10 s"},
	52: {fault: "1,000 clients restart together", measure: "peak/mean of Consul queries"},
	53: {fault: "every endpoint open", measure: "success = healthy share"},
	54: {fault: "local datacenter gone, then back", measure: "0 failed idempotent calls after 1 s; back without a failed call; <= 1 change of direction in 30 s"},
	56: {fault: "6 of 10 endpoints killed at once", measure: "ok >= 99.9 % at 1,000 rps"},
	57: {fault: "every endpoint fails 50 % of calls", measure: "ok share >= the servers'; opened <= 10 %"},
	58: {fault: "blue/green: all old deregistered, all new registered in one moment", measure: "no attempt to old after 1 s; F0"},
	59: {fault: "an agent's restart deregisters all, back 20 s later", measure: "F0, 0 connections dropped"},
	60: {fault: "one endpoint answers 500 in 1 ms, at 1 rps and at 1,000 rps", measure: "share; calls lost"},
	62: {fault: "the caller's body reader fails; the caller cancels 1,000 calls", measure: "0 opened"},
	63: {fault: "90 s long poll, 10 min of server-sent events, 1 GiB upload at 1 MiB/s, default policy", measure: "1 wire attempt each, 0 cut"},
	65: {fault: "server closes idle connections at 5 s; a POST every 5 s", measure: "server's ledger"},
	66: {fault: "capacity to 40 % for 10 s at load .9, 20 processes", measure: ">= 95 % goodput <= 10 s after"},
	67: {fault: "endpoint stays dead and listed for 1 h, 100 processes", measure: "0 user calls touched after opening; dials/s"},
	70: {fault: "body stalls mid-way with idle_timeout set", measure: "<= 2 x idle_timeout"},
	71: {fault: "Consul restarted: index equal, value changed", measure: "seen <= 1 s"},
	72: {fault: "service truly scaled to 0, later back", measure: "0 calls hang; back <= 1 s"},
	73: {fault: "instance reborn on the same address", measure: "no stale connection error"},
	74: {fault: "net/http's own retries: 8 idle connections that die after reading the request", measure: "wire <= max_attempts"},
	75: {fault: "gRPC handler books, its process dies before the answer", measure: "executions = 1"},
	76: {fault: "hedge budget empty while attempts run", measure: "0 cut"},
	77: {fault: "one of three killed under 256 workers", measure: "0 failed"},
	78: {fault: "h2 stream reset with PROTOCOL_ERROR after a POST was executed", measure: "executions = 1"},
	79: {fault: "POST on a stale idle connection", measure: "saved on another try, the server sees it once"},
	80: {fault: "wait-for-ready gRPC call with attempt_timeout, server up after 700 ms", measure: "1 attempt"},
}

// Every row has a test, or says why not; no test stands for a row that does not exist.
func TestEveryRowHasItsTest(t *testing.T) {
	tested := rowsTested(t)
	for _, n := range slices.Sorted(maps.Keys(table)) {
		switch missing := table[n].missing; {
		case missing != "" && tested[n]:
			t.Errorf("row %d is said to be missing (%s) and has a test", n, missing)
		case missing != "":
			t.Attr("missing", fmt.Sprintf("%d %s: %s", n, table[n].fault, missing))
		case !tested[n]:
			t.Errorf("row %d, %s, has neither a test nor a reason why not", n, table[n].fault)
		}
	}
	for n := range tested {
		if _, ok := table[n]; !ok {
			t.Errorf("a test stands for row %d, which does not exist", n)
		}
	}
}

// rowsTested are the numbers in the names of the package's TestRow functions.
func rowsTested(t *testing.T) map[int]bool {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	tested := map[int]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			var n int
			if fn, ok := d.(*ast.FuncDecl); ok {
				if _, err := fmt.Sscanf(fn.Name.Name, "TestRow%d", &n); err == nil {
					tested[n] = true
				}
			}
		}
	}
	return tested
}
