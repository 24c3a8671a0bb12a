package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// The scenarios: what the gates assert and what the comparison runs. Servers take 20 ms where nothing else is said.

// Steady is a service without a fault.
func Steady(servers, clients int, rate float64, d time.Duration) Scenario {
	return Scenario{Name: "steady", Servers: servers, Clients: clients, Rate: rate, Warm: 10 * time.Second, Duration: d}
}

// Weighted is a service whose servers have these weights, and whose calls are each for a key.
func Weighted(clients int, weights ...int) Scenario {
	s := Steady(len(weights), clients, 1000, time.Minute)
	s.Name, s.Warm, s.Keys = fmt.Sprint("weights ", weights), 0, 1<<30
	s.Setup = func(w *World) {
		for i, weight := range weights {
			w.Servers[i].Weight = weight
		}
	}
	return s
}

// Killed kills n of ten servers at once; their connections break, and dials are refused.
func Killed(n, clients int) Scenario {
	s := Steady(10, clients, 1000, 60*time.Second)
	s.Name = fmt.Sprintf("%d of 10 killed", n)
	s.Events = []Event{{0, first(n, (*Server).Kill)}}
	return s
}

// Blackholed has n of ten servers that never answer a dial, from the start.
func Blackholed(n, clients int) Scenario {
	s := Steady(10, clients, 1000, 120*time.Second)
	s.Name, s.Warm = fmt.Sprintf("%d of 10 blackholed", n), 0
	s.Setup = first(n, (*Server).Vanish)
	return s
}

// AllFail lets every server answer a share of the requests with status.
func AllFail(share float64, status, clients int) Scenario {
	s := Steady(10, clients, 1000, 60*time.Second)
	s.Name = fmt.Sprintf("all answer %.0f %% by %d", 100*share, status)
	s.Setup = first(10, func(s *Server) { s.Fault = failing(share, status) })
	return s
}

// OneFailsFast lets one of ten answer all by status, in 1 ms instead of 20.
func OneFailsFast(status, clients int) Scenario {
	s := Steady(10, clients, 1000, 60*time.Second)
	s.Name = fmt.Sprintf("1 of 10 fails fast by %d", status)
	s.Events = []Event{{0, first(1, func(s *Server) { s.Fault = failing(1, status) })}}
	return s
}

// TenFailFast lets 10 of 100 answer by status, at ten calls a second.
func TenFailFast(status int) Scenario {
	s := Steady(100, 1, 10, 10*time.Minute)
	s.Name, s.Warm = fmt.Sprintf("10 of 100 fail fast by %d, 10 rps", status), 0
	s.Setup = first(10, func(s *Server) { s.Fault = failing(1, status) })
	return s
}

// OneDead has one of ten that refuses dials, at one call a second.
func OneDead() Scenario {
	s := Steady(10, 1, 1, time.Hour)
	s.Name, s.Warm = "1 of 10 dead, 1 rps", 0
	s.Setup = first(1, func(s *Server) { s.state.Store(refusing) })
	return s
}

// Outage lets all answer 503 for a minute.
func Outage(clients int) Scenario {
	s := Steady(10, clients, 500, 80*time.Second)
	s.Name, s.Warm, s.Over = "all answer 503 for 60 s", 20*time.Second, 60*time.Second
	s.Events = []Event{
		{0, first(10, func(s *Server) { s.Fault = failing(1, 503) })},
		{60 * time.Second, first(10, func(s *Server) { s.Fault = nil })},
	}
	return s
}

// Overload is ten servers with four workers each at nine tenths of their capacity, which falls to 40 % for ten seconds.
// Callers give an attempt 200 ms; the servers do not notice. sharing: the requests share the workers, in place of a queue.
func Overload(sharing bool) Scenario {
	const capacity = 10 * 4 / 0.02
	s := Steady(10, 20, 0.9*capacity, 60*time.Second)
	s.Name, s.Warm, s.Over = "overload, trigger gone after 10 s", 20*time.Second, 10*time.Second
	s.Workers, s.Attempt = 4, 200*time.Millisecond
	if s.Sharing = sharing; sharing {
		s.Name = "overload of servers that share their time"
	}
	s.Setup = first(10, func(s *Server) { s.Time = exponential() })
	s.Events = []Event{
		{0, first(10, func(s *Server) { s.Slow(0.4) })},
		{10 * time.Second, first(10, func(s *Server) { s.Slow(1) })},
	}
	return s
}

// SlowHost is ten servers of four cores, shared by their requests and used to six tenths; one of them loses 70 % of its
// cores' speed to a neighbour, and could no more serve its tenth of the calls.
func SlowHost() Scenario {
	const capacity = 10 * 4 / 0.02
	s := Steady(10, 20, 0.6*capacity, 60*time.Second)
	s.Name, s.Warm, s.Workers, s.Sharing = "a neighbour takes 70 % of one host", 20*time.Second, 4, true
	s.Setup = first(10, func(s *Server) { s.Time = exponential() })
	s.Events = []Event{{0, first(1, func(s *Server) { s.Slow(0.3) })}}
	return s
}

// WrongTimeout has a service that takes 150 ms for 60 % of the calls, and callers that wait for 100.
func WrongTimeout() Scenario {
	s := Steady(10, 20, 1000, 60*time.Second)
	s.Name, s.Attempt = "attempt_timeout wrong for 60 %", 100*time.Millisecond
	s.Setup = first(10, func(s *Server) { s.Time = mixed(20*time.Millisecond, 150*time.Millisecond, 0.6) })
	return s
}

// OneSlow adds 100 ms to 30 % of the requests of one of ten; all of them vary by nature.
func OneSlow(slow bool) Scenario {
	s := Steady(10, 20, 1000, 60*time.Second)
	s.Warm, s.Name = 20*time.Second, "all healthy"
	usual := lognormal(20 * time.Millisecond)
	s.Setup = first(10, func(s *Server) { s.Time = usual })
	if !slow {
		return s
	}
	s.Name = "1 of 10 slow (+100 ms on 30 %)"
	s.Setup = func(w *World) {
		for _, s := range w.Servers {
			s.Time = usual
		}
		w.Servers[0].Time = sometimes(usual, 100*time.Millisecond, 0.3)
	}
	return s
}

// TwoSpeeds has calls of 5 ms, a share of them of 2 s wherever they go, and one of ten servers that takes three times as
// long for all.
func TwoSpeeds(heavy float64) Scenario {
	s := Steady(10, 20, 1000, 60*time.Second)
	s.Warm, s.Name, s.Heavy, s.Longer = 20*time.Second, "calls of 5 ms and 2 s, 1 of 10 is 3 x slower", heavy, 400
	usual := lognormal(5 * time.Millisecond)
	s.Setup = func(w *World) {
		for _, s := range w.Servers {
			s.Time = usual
		}
		w.Servers[0].Time = lognormal(15 * time.Millisecond)
	}
	return s
}

// Tenth is a service of any size of which a tenth, one at least, is slow (100 ms more on 30 % of the requests) or fails at
// once by 503. It is long enough for so many calls.
func Tenth(servers, clients int, rate float64, fails bool, calls int) Scenario {
	s := Steady(servers, clients, rate, time.Duration(float64(calls)/rate*float64(time.Second)))
	s.Warm = s.Duration / 2
	usual := lognormal(20 * time.Millisecond)
	s.Name = fmt.Sprintf("a tenth of %d slow, %d clients, %v rps", servers, clients, rate)
	bad := func(s *Server) { s.Time = sometimes(usual, 100*time.Millisecond, 0.3) }
	if fails {
		s.Name = fmt.Sprintf("a tenth of %d fails, %d clients, %v rps", servers, clients, rate)
		bad = func(s *Server) { s.Fault = failing(1, 503) }
	}
	s.Setup = func(w *World) {
		for i, s := range w.Servers {
			if s.Time = usual; i < max(1, servers/10) {
				bad(s)
			}
		}
	}
	return s
}

// SlowRamp lets one of ten grow slower, from 20 to 500 ms in 30 s.
func SlowRamp() Scenario {
	s := Steady(10, 20, 1000, 60*time.Second)
	s.Name = "1 of 10 ever slower, to 500 ms"
	s.Setup = first(1, func(s *Server) {
		s.Time = func(*rand.Rand) time.Duration {
			share := min(1, max(0, s.world.Since().Seconds()/30))
			return 20*time.Millisecond + time.Duration(share*float64(480*time.Millisecond))
		}
	})
	return s
}

// Pauses stops all servers for 200 ms every 5 s: at once, or each at a time of its own.
func Pauses(atOnce bool) Scenario {
	s := Steady(10, 20, 1000, 60*time.Second)
	s.Name = "pauses of 200 ms, one server at a time"
	if atOnce {
		s.Name = "pauses of 200 ms, all at once"
	}
	s.Setup = func(w *World) {
		for i, srv := range w.Servers {
			offset := time.Duration(0)
			if !atOnce {
				offset = time.Duration(i) * 500 * time.Millisecond
			}
			srv.Paused(5*time.Second, 200*time.Millisecond, offset)
		}
	}
	return s
}

// ColdStart adds to ten busy servers one that takes ten times as long in its first five seconds.
func ColdStart() Scenario {
	s := Steady(10, 20, 1200, 40*time.Second)
	s.Name, s.Workers = "a cold server joins 10 busy ones", 4
	s.Setup = first(10, func(s *Server) { s.Time = exponential() })
	s.Events = []Event{{0, func(w *World) {
		n := w.Add("cold:80")
		n.Time = exponential()
		n.Slow(0.1)
		w.Publish()
		time.Sleep(5 * time.Second)
		n.Slow(1)
	}}}
	return s
}

// RollingDeploy replaces ten servers one by one: each is killed without a word, leaves the list two seconds later, and
// its successor joins.
func RollingDeploy() Scenario {
	s := Steady(10, 20, 1000, 60*time.Second)
	s.Name = "rolling deploy, killed before deregistered"
	s.Events = []Event{{0, func(w *World) {
		for i, old := range w.Servers[:10] {
			old.Kill()
			time.Sleep(2 * time.Second)
			w.Remove(old)
			w.Add(fmt.Sprintf("new%d:80", i))
			w.Publish()
			time.Sleep(3 * time.Second)
		}
	}}}
	return s
}

// exponential is a time of 20 ms in the mean.
func exponential() func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(20*time.Millisecond)) }
}

// lognormal is a time of that median, of which one in a hundred takes twice as long.
func lognormal(median time.Duration) func(*rand.Rand) time.Duration {
	const sigma = 0.3
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}

// sometimes adds more to a share of the requests.
func sometimes(usual func(*rand.Rand) time.Duration, more time.Duration, share float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		d := usual(r)
		if r.Float64() < share {
			d += more
		}
		return d
	}
}

// mixed is slow for a share of the requests, else usual.
func mixed(usual, slow time.Duration, share float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		if r.Float64() < share {
			return slow
		}
		return usual
	}
}

// failing answers a share of the requests by status, in 1 ms.
func failing(share float64, status int) func(*rand.Rand) (int, time.Duration, bool) {
	return func(r *rand.Rand) (int, time.Duration, bool) { return status, time.Millisecond, r.Float64() < share }
}

// first does something to the first n servers.
func first(n int, do func(*Server)) func(*World) {
	return func(w *World) {
		for _, s := range w.Servers[:n] {
			do(s)
		}
	}
}
