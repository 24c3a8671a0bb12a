package engine

import (
	"testing"

	"github.com/onehop-go/onehop/policy"
)

func TestConditions(t *testing.T) {
	rows := []struct {
		when []policy.Condition
		r    Result
		want bool
	}{
		{nil, Result{Kind: Unavailable | Reset | AttemptTimeout | ServerError, Status: 503, Code: 14}, false},
		{[]policy.Condition{"unavailable"}, Result{Kind: Unavailable}, true},
		{[]policy.Condition{"unavailable"}, Result{Kind: Reset}, false},
		{[]policy.Condition{"reset", "attempt_timeout"}, Result{Kind: AttemptTimeout}, true},
		{[]policy.Condition{"server_error"}, Result{Kind: ServerError, Status: 500}, true},
		{[]policy.Condition{"429"}, Result{Status: 429}, true},
		{[]policy.Condition{"429"}, Result{Status: 430}, false},
		{[]policy.Condition{"429", "599"}, Result{Status: 599}, true},
		{[]policy.Condition{"ABORTED"}, Result{Code: 10}, true},
		{[]policy.Condition{"ABORTED"}, Result{Code: 11}, false},
		{[]policy.Condition{"UNAUTHENTICATED"}, Result{Code: 16}, true},
		{[]policy.Condition{"ABORTED"}, Result{}, false},
		{[]policy.Condition{"a word of tomorrow"}, Result{}, false},
	}
	for _, row := range rows {
		c := newConditions(row.when)
		if got := c.match(&row.r); got != row.want {
			t.Errorf("%q match %+v: %v, want %v", row.when, row.r, got, row.want)
		}
	}
}

func TestMatch(t *testing.T) {
	http := func(method, path string) *Call { return &Call{Protocol: "http", Method: method, Path: path} }
	grpc := func(method string) *Call { return &Call{Protocol: "grpc", Method: method} }
	do := func(method string) *Call { return &Call{Protocol: "do", Method: method} }
	rows := []struct {
		match policy.Match
		call  *Call
		want  bool
	}{
		{policy.Match{PathPrefix: "/v1/charges"}, http("GET", "/v1/charges"), true},
		{policy.Match{PathPrefix: "/v1/charges"}, http("GET", "/v1/charges/42"), true},
		{policy.Match{PathPrefix: "/v1/charges"}, http("GET", "/v1/chargesheet"), false},
		{policy.Match{PathPrefix: "/v1/charges/"}, http("GET", "/v1/charges/42"), true},
		{policy.Match{PathPrefix: "/v1/charges/"}, http("GET", "/v1/charges"), false},
		{policy.Match{PathPrefix: "/"}, http("GET", "/anything"), true},
		{policy.Match{PathPrefix: "/v1"}, http("GET", "/v2"), false},
		{policy.Match{PathPrefix: "/"}, grpc("/a.B/C"), false},
		{policy.Match{PathPrefix: "/"}, do("get"), false},
		{policy.Match{Methods: []string{"GET", "HEAD"}}, http("HEAD", "/"), true},
		{policy.Match{Methods: []string{"GET", "HEAD"}}, http("POST", "/"), false},
		{policy.Match{Methods: []string{"get"}}, do("get"), true},
		{policy.Match{Methods: []string{"/a.B/C"}}, grpc("/a.B/C"), false},
		{policy.Match{Methods: []string{"POST"}, PathPrefix: "/v1"}, http("POST", "/v1/x"), true},
		{policy.Match{Methods: []string{"POST"}, PathPrefix: "/v1"}, http("GET", "/v1/x"), false},
		{policy.Match{GRPC: "inventory.v1.Stock/Reserve"}, grpc("/inventory.v1.Stock/Reserve"), true},
		{policy.Match{GRPC: "inventory.v1.Stock/Reserve"}, grpc("/inventory.v1.Stock/ReserveAll"), false},
		{policy.Match{GRPC: "inventory.v1.Stock/*"}, grpc("/inventory.v1.Stock/Reserve"), true},
		{policy.Match{GRPC: "inventory.v1.Stock/*"}, grpc("/inventory.v1.Stocks/Reserve"), false},
		{policy.Match{GRPC: "inventory.v1.Stock/*"}, http("POST", "/inventory.v1.Stock/Reserve"), false},
	}
	for _, row := range rows {
		r := rule{match: row.match}
		if got := r.matches(row.call); got != row.want {
			t.Errorf("%+v matches %s %s %s: %v, want %v", row.match, row.call.Protocol, row.call.Method, row.call.Path, got, row.want)
		}
	}
}

func TestTheFirstRouteWins(t *testing.T) {
	p := policy.Default()
	p.Routes = []policy.Route{
		{Name: "a", Match: policy.Match{PathPrefix: "/v1/charges"}},
		{Name: "b", Match: policy.Match{PathPrefix: "/v1"}},
	}
	stat := map[string]*stats{}
	pl := newPlan(p, func(route string) *stats { stat[route] = &stats{}; return stat[route] })
	for path, want := range map[string]string{"/v1/charges/1": "a", "/v1/x": "b", "/": ""} {
		r := pl.rule(&Call{Protocol: "http", Method: "GET", Path: path})
		if r.name != want || r.stats != stat[want] {
			t.Errorf("%s takes route %q, want %q", path, r.name, want)
		}
	}
}

func TestStatisticsOutliveAReload(t *testing.T) {
	inService(t, 1, nil, func(u *service) {
		t := u.t
		before := u.plan.Load().rest.stats
		u.Configure(policy.Default())
		if u.plan.Load().rest.stats != before {
			t.Error("a reload forgot what answers usually take")
		}
	})
}
