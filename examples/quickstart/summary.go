package main

import (
	"fmt"
	"io"
	"time"
)

// failed is the number of calls through onehop that failed during the show.
func (st *stage) failed() int {
	n := 0
	for _, l := range st.ours {
		n += l.between(st.view.began(), time.Now(), "").failed
	}
	return n
}

// sumUp prints, act by act, what came of it on either client, and what to try next.
func (st *stage) sumUp(out io.Writer) {
	v := st.view
	v.mu.Lock()
	acts, start, stop := v.acts, v.start, v.stop
	v.mu.Unlock()
	fmt.Fprintf(out, "\n%-55s %s\n", "", "through onehop    plain round robin")
	fmt.Fprintf(out, "%-55s %8s %8s  %8s %8s\n", "", "failed", "p99", "failed", "p99")
	for i, a := range acts {
		to := stop
		if i+1 < len(acts) {
			to = acts[i+1].at
		}
		ours, plain := st.both(a.at, to)
		fmt.Fprintf(out, "%s  %-49s %8d %8s  %8d %8s\n", clock(a.at.Sub(start)), a.text, ours.failed, short(ours.p99), plain.failed, short(plain.p99))
	}
	ours, plain := st.both(start, stop)
	fmt.Fprintf(out, "\nonehop: %d of %d calls failed. Plain client: %d of %d.\n", ours.failed, ours.calls, plain.failed, plain.calls)
	if !st.keep {
		fmt.Fprint(out, next)
	}
}

const next = `
Try next:
  go run ./examples/quickstart -keep    goes on afterwards: kill instances by hand, change the policies in
                                        Consul's UI under Key/Value, onehop/policy
  examples/http, examples/grpc          the forty lines that a program of yours needs
`

// both sums up the lanes of each client over a stretch of time.
func (st *stage) both(from, to time.Time) (ours, plain stats) {
	return together(st.ours, from, to), together(st.plain, from, to)
}

// together is several lanes as one.
func together(lanes map[string]*lane, from, to time.Time) stats {
	var all []sample
	for _, l := range lanes {
		all = append(all, l.slice(from, to)...)
	}
	return sum(all, "")
}
