package wire

import (
	"fmt"

	"github.com/onehop-go/onehop/bench/report"
)

// ofDirect are the least shares of direct throughput that onehop keeps, by the closed loop.
var ofDirect = map[string]float64{"c=1": 0.97, "c=16": 0.96, "c=64": 0.96}

// httplbOfDirect is what bufbuild/httplb keeps of direct throughput. It cannot be required as a module, so that it was
// measured apart, on two cores, by the same loads.
var httplbOfDirect = map[string]float64{"c=1": 1.01, "c=16": 0.46, "c=64": 0.45}

// ofProxy are the least multiples of the best proxy's throughput.
var ofProxy = map[string]float64{"c=1": 1.3, "c=16": 1.3, "c=64": 1}

// httpGates are the aims for HTTP.
func (r *comparison) httpGates() []report.Gate {
	var all []report.Gate
	for _, g := range r.closed() {
		toDirect := r.ratio(throughHop, r.base, g.name, throughput)
		all = append(all,
			atLeast("HTTP, throughput, "+g.name+", of direct net/http", ofDirect[g.name], toDirect),
			atLeast("HTTP, throughput, "+g.name+", of direct net/http, where httplb's is the aim", httplbOfDirect[g.name], toDirect),
			atLeast("HTTP, throughput, "+g.name+", of failsafe-go", 1, r.ratio(throughHop, "failsafe-go", g.name, throughput)))
		if best := r.bestProxy(g.name, throughput, false); best != "" {
			all = append(all, r.besideDirect(atLeast(fmt.Sprintf("HTTP, throughput, %s, of the best proxy (%s)", g.name, best), ofProxy[g.name],
				r.ratio(throughHop, best, g.name, throughput)), best, g.name, throughput))
		}
	}
	for _, g := range r.open() {
		all = append(all,
			atMost("HTTP, p50, "+g.name+", of direct net/http", 1.03, r.ratio(throughHop, r.base, g.name, latency(0.5))),
			atMost("HTTP, p99, "+g.name+", of direct net/http", 1.10, r.ratio(throughHop, r.base, g.name, latency(0.99))),
			atMost("HTTP, p50, "+g.name+", of failsafe-go", 1, r.ratio(throughHop, "failsafe-go", g.name, latency(0.5))))
		if best := r.bestProxy(g.name, latency(0.5), true); best != "" {
			all = append(all, r.besideDirect(atMost(fmt.Sprintf("HTTP, p50, %s, of the best proxy (%s)", g.name, best), 0.72,
				r.ratio(throughHop, best, g.name, latency(0.5))), best, g.name, latency(0.5)))
		}
		cpu := cpuPer10k(cpuShare.total)
		if best := r.bestProxy(g.name, cpu, true); best != "" {
			all = append(all, r.besideDirect(atMost(fmt.Sprintf("HTTP, CPU a call of all processes, %s, of the best proxy (%s)", g.name, best), 0.75,
				r.ratio(throughHop, best, g.name, cpu)), best, g.name, cpu))
		}
	}
	return all
}

// grpcGates are the aims for gRPC.
func (r *comparison) grpcGates() []report.Gate {
	var all []report.Gate
	for _, g := range r.closed() {
		all = append(all, atLeast("gRPC, throughput, "+g.name+", of plain round_robin", 0.97, r.ratio(throughHop, r.base, g.name, throughput)))
	}
	for _, g := range r.open() {
		all = append(all, atMost("gRPC, p50, "+g.name+", of plain round_robin", 1.03, r.ratio(throughHop, r.base, g.name, latency(0.5))))
	}
	return all
}

// besideDirect adds to an aim that is missed, if nobody in between would miss it as well, how far.
func (r *comparison) besideDirect(g report.Gate, proxy, regime string, m metric) report.Gate {
	direct := g
	direct.Measured = r.ratio(r.base, proxy, regime, m)
	if !g.Met() && !direct.Met() {
		g.Note = fmt.Sprintf("%s itself is at %.3f x.", r.base, direct.Measured.Median)
	}
	return g
}

// bestProxy is the proxy with the highest median, or the lowest; "" where there is none.
func (r *comparison) bestProxy(regime string, m metric, lowest bool) string {
	best, value := "", 0.0
	for i := range r.kinds {
		k := &r.kinds[i]
		if k.proxy == nil {
			continue
		}
		v := r.figure(k.name, regime, m).Median
		if best == "" || (v < value) == lowest {
			best, value = k.name, v
		}
	}
	return best
}

func atLeast(what string, aim float64, f report.Figure) report.Gate {
	return report.Gate{What: what, Bound: report.AtLeast, Aim: aim, Unit: "x", Measured: f}
}

func atMost(what string, aim float64, f report.Figure) report.Gate {
	return report.Gate{What: what, Bound: report.AtMost, Aim: aim, Unit: "x", Measured: f}
}
