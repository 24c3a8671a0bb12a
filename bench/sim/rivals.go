package sim

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// A rival is another client: an algorithm that picks, a rule that avoids, a rule that retries. It knows what the real
// ones know of an attempt, its time and whether it failed, and it connects over the same network. Each is the rule as
// its own documentation and source have it, with its default constants, and nothing more of the product around it.
type rival struct {
	world *World
	net   network
	rules rules

	mu     sync.Mutex
	rand   *rand.Rand
	peers  []*peer
	turn   int
	active int // calls under way
	retry  int // of them in a retry
	tokens float64
	fed    time.Time
}

// rules of a rival. All run under its lock.
type rules struct {
	pick   func(c *rival, now time.Time, of []*peer) *peer
	avoid  func(c *rival, now time.Time, p *peer) bool // the peer is not to be used now; nil: nobody is avoided
	done   func(c *rival, now time.Time, p *peer, took time.Duration, ok bool)
	budget func(c *rival, now time.Time) bool // a retry may be made; nil: always
	earn   func(c *rival, now time.Time)      // a call began; nil: nothing
}

// peer is what a rival knows of a server.
type peer struct {
	server   *Server
	inflight int
	latency  float64 // seconds
	stamp    time.Time
	row      int // failures
	until    time.Time
	ejected  int // times
	probing  bool
}

const (
	rivalAttempts = 3
	rivalConnect  = time.Second
)

func newRival(w *World, r rules) Client {
	c := &rival{world: w, rules: r, net: network{conns: map[*Server]*life{}}, rand: w.random()}
	c.turn = c.rand.IntN(1 << 20) // clients do not start in step
	c.Update(w.Listed())
	return c
}

// Update implements Client.
func (c *rival) Update(listed []*Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := map[*Server]*peer{}
	for _, p := range c.peers {
		old[p.server] = p
	}
	c.peers = nil
	for _, s := range listed {
		p := old[s]
		if p == nil {
			p = &peer{server: s}
		}
		c.peers = append(c.peers, p)
	}
}

// Close implements Client.
func (c *rival) Close() {}

// Avoided implements Client.
func (c *rival) Avoided() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.peers) - len(c.usable(time.Now()))
}

// usable are the peers that are not avoided. Under mu.
func (c *rival) usable(now time.Time) []*peer {
	if c.rules.avoid == nil {
		return c.peers
	}
	var list []*peer
	for _, p := range c.peers {
		if !c.rules.avoid(c, now, p) {
			list = append(list, p)
		}
	}
	return list
}

// Call implements Client: up to three attempts, after a failure that may be repeated and a short random pause.
func (c *rival) Call(ctx context.Context, path string) Answer {
	c.begin()
	defer c.end(&c.active)
	var a Answer
	for n := 1; ; n++ {
		var again bool
		if a, again = c.attempt(ctx, path); !again || n == rivalAttempts || ctx.Err() != nil || !c.mayRetry() {
			return a
		}
		if n == 1 {
			defer c.end(&c.retry)
		}
		c.mu.Lock()
		wait := time.Duration(c.rand.Float64() * float64(25*time.Millisecond) * float64(int(1)<<n))
		c.mu.Unlock()
		if pause(ctx, wait) != nil {
			return a
		}
	}
}

func (c *rival) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active++
	if c.rules.earn != nil {
		c.rules.earn(c, time.Now())
	}
}

func (c *rival) end(count *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*count--
}

func (c *rival) mayRetry() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rules.budget != nil && !c.rules.budget(c, time.Now()) {
		return false
	}
	c.retry++
	return true
}

// attempt makes one attempt; again: it failed in a way that may be repeated.
func (c *rival) attempt(ctx context.Context, path string) (a Answer, again bool) {
	c.mu.Lock()
	of := c.usable(time.Now())
	if len(of) == 0 {
		of = c.peers
	}
	p := c.rules.pick(c, time.Now(), of)
	p.inflight++
	c.mu.Unlock()
	start := time.Now()
	a = c.send(ctx, p.server, path)
	c.mu.Lock()
	defer c.mu.Unlock()
	p.inflight--
	if ctx.Err() == nil && c.rules.done != nil {
		c.rules.done(c, time.Now(), p, time.Since(start), a.Status != 0 && a.Status < 500)
	}
	return a, a.Status == 0 || a.Status == 502 || a.Status == 503 || a.Status == 504
}

// send is an attempt on the network; no status: it got no answer.
func (c *rival) send(ctx context.Context, s *Server, path string) Answer {
	l := c.net.connected(s)
	if l == nil {
		var err error
		if l, err = c.net.dial(ctx, s, rivalConnect); err != nil {
			return Answer{}
		}
	}
	var timer <-chan time.Time
	if d := c.world.scenario.Attempt; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	status, err := s.send(ctx, l, path, timer)
	if err != nil {
		return Answer{}
	}
	return Answer{Status: status}
}

// RoundRobin takes turns and avoids nobody.
func RoundRobin(w *World) Client {
	return newRival(w, rules{pick: func(c *rival, _ time.Time, of []*peer) *peer {
		c.turn++
		return of[c.turn%len(of)]
	}})
}

// Random avoids nobody.
func Random(w *World) Client {
	return newRival(w, rules{pick: func(c *rival, _ time.Time, of []*peer) *peer { return of[c.rand.IntN(len(of))] }})
}

// LeastRequest takes the less busy of two draws and avoids nobody: gRFC A48.
func LeastRequest(w *World) Client { return newRival(w, rules{pick: leastOfTwo}) }

func leastOfTwo(c *rival, _ time.Time, of []*peer) *peer {
	a, b := of[c.rand.IntN(len(of))], of[c.rand.IntN(len(of))]
	if b.inflight < a.inflight {
		return b
	}
	return a
}

// Envoy is its least_request with its default outlier detection (consecutive_5xx 5, base_ejection_time 30 s,
// max_ejection_percent 10) and its retry budget (20 % of the active, 3 at least).
func Envoy(w *World) Client {
	const row, percent = 5, 10
	return newRival(w, rules{
		pick:  leastOfTwo,
		avoid: func(_ *rival, now time.Time, p *peer) bool { return now.Before(p.until) },
		done: func(c *rival, now time.Time, p *peer, _ time.Duration, ok bool) {
			if ok {
				p.row = 0
				return
			}
			if p.row++; p.row < row || now.Before(p.until) {
				return
			}
			p.row = 0
			out := len(c.peers) - len(c.usable(now))
			if 100*(out+1)/len(c.peers) > percent {
				return
			}
			p.ejected++
			p.until = now.Add(min(time.Duration(p.ejected)*30*time.Second, 300*time.Second))
		},
		budget: func(c *rival, _ time.Time) bool {
			return float64(c.retry) < math.Max(0.2*float64(c.active), 3)
		},
	})
}

// Finagle is the peak EWMA of Finagle and Linkerd (decay 10 s, a failure counts as 5 s at least) with Linkerd's failure
// accrual (7 in a row; shut 1 s, doubled to 60 s, then one call as the probe) and its retry budget (20 % of the calls of
// 10 s and 10 a second).
func Finagle(w *World) Client {
	const row = 7
	return newRival(w, rules{
		pick: func(c *rival, now time.Time, of []*peer) *peer {
			p := cheaperOfTwo(c, now, of)
			if p.ejected > 0 {
				p.probing = true
			}
			return p
		},
		avoid: func(_ *rival, now time.Time, p *peer) bool { return now.Before(p.until) || p.probing },
		done: func(c *rival, now time.Time, p *peer, took time.Duration, ok bool) {
			sample := took.Seconds()
			if !ok {
				sample = max(sample, 5)
			}
			p.sample(now, sample)
			p.probing = false
			if ok {
				p.row, p.ejected = 0, 0
				return
			}
			if p.row++; p.row >= row && !now.Before(p.until) {
				wait := min(time.Second<<min(p.ejected, 6), time.Minute)
				p.ejected++
				p.until = now.Add(time.Duration(float64(wait) * (1 + 0.5*c.rand.Float64())))
			}
		},
		earn: func(c *rival, now time.Time) {
			const reserve, ratio = 10, 0.2
			if c.fed.IsZero() {
				c.tokens, c.fed = 10*reserve, now
			}
			c.tokens = min(c.tokens+ratio+reserve*now.Sub(c.fed).Seconds(), 10*reserve+10*ratio*c.world.scenario.Rate/float64(c.world.scenario.Clients))
			c.fed = now
		},
		budget: func(c *rival, _ time.Time) bool {
			if c.tokens < 1 {
				return false
			}
			c.tokens--
			return true
		},
	})
}

const finagleTau = 10 * time.Second

func (p *peer) read(now time.Time) float64 {
	if p.stamp.IsZero() {
		return 0.03 // Linkerd's default_rtt
	}
	return p.latency * math.Exp(-now.Sub(p.stamp).Seconds()/finagleTau.Seconds())
}

func (p *peer) sample(now time.Time, x float64) {
	d := math.Exp(-now.Sub(p.stamp).Seconds() / finagleTau.Seconds())
	if p.stamp.IsZero() || x > p.latency {
		p.latency = x
	} else {
		p.latency = p.latency*d + x*(1-d)
	}
	p.stamp = now
}

func cheaperOfTwo(c *rival, now time.Time, of []*peer) *peer {
	cost := func(p *peer) float64 { return p.read(now) * float64(p.inflight+1) }
	i := c.rand.IntN(len(of))
	if len(of) == 1 {
		return of[0]
	}
	j := c.rand.IntN(len(of) - 1)
	if j >= i {
		j++
	}
	if cost(of[j]) < cost(of[i]) {
		return of[j]
	}
	return of[i]
}
