package main

import (
	"fmt"
	"time"
)

// window is the stretch of time that the live figures are taken over.
const window = 2 * time.Second

// eventRows is how many happenings the screen shows.
const eventRows = 10

// frame is the screen at a moment.
func (st *stage) frame(now time.Time) []row {
	v := st.view
	v.mu.Lock()
	defer v.mu.Unlock()
	rows := []row{v.title(now, st.length), v.consulRow(), {}}
	for _, service := range []string{httpService, grpcService} {
		rows = append(rows, heading(service))
		ours, plain := st.ours[service], st.plain[service]
		for _, s := range v.instances {
			if s.service == service {
				rows = append(rows, s.row(now, ours, plain))
			}
		}
		rows = append(rows, totals(v.start, now, ours, plain), row{})
	}
	rows = append(rows, row{}.add(bold, "what happens"))
	for _, h := range v.events[max(0, len(v.events)-eventRows):] {
		rows = append(rows, h.row(v.start))
	}
	return rows
}

func (v *view) title(now time.Time, length time.Duration) row {
	return row{}.add(bold, "onehop quickstart").add(dim, "   %s of %s   %d calls a second on each of four lanes", clock(now.Sub(v.start)), clock(length), rate)
}

func (v *view) consulRow() row {
	if !v.consulUp {
		return row{}.add(red, "○ Consul is dead")
	}
	return row{}.add(green, "● Consul").add(dim, " http://%s", v.consulAt)
}

func heading(service string) row {
	protocol := "HTTP"
	if service == grpcService {
		protocol = "gRPC"
	}
	return row{}.add(bold, "%-22s", service+" "+protocol).add(cyan, "%-34s", "through onehop").add(yellow, "plain client, round robin")
}

// row shows an instance: how it is, and what it gets from either client.
func (s shown) row(now time.Time, ours, plain *lane) row {
	r := row{}.add(normal, "  %-12s", s.name)
	switch {
	case s.state != "":
		r = r.add(red, "%-8s", s.state)
	case s.avoided:
		r = r.add(yellow, "%-8s", "avoided")
	default:
		r = r.add(green, "%-8s", "ok")
	}
	r = s.share(r, now, ours, cyan)
	return s.share(r, now, plain, yellow)
}

// share shows what an instance gets on one lane.
func (s shown) share(r row, now time.Time, l *lane, colour style) row {
	const barWidth = 12
	got := l.between(now.Add(-window), now, s.name)
	perSecond := float64(got.calls) / window.Seconds()
	r = r.add(colour, "%-*s", barWidth, bar(perSecond, rate, barWidth))
	if got.calls == 0 {
		return r.add(dim, "%4.0f/s%-16s", perSecond, "")
	}
	return r.add(normal, "%4.0f/s %6s%-9s", perSecond, short(got.p50), "")
}

// totals shows both lanes of a service.
func totals(start, now time.Time, ours, plain *lane) row {
	r := row{}.add(dim, "  %-20s", "all, p99, failed")
	for _, l := range []*lane{ours, plain} {
		recent, all := l.between(now.Add(-window), now, ""), l.between(start, now, "")
		r = r.add(normal, "%4.0f/s %6s ", float64(recent.calls)/window.Seconds(), short(recent.p99))
		failed := green
		if all.failed > 0 {
			failed = red
		}
		r = r.add(failed, "%-20s", fmt.Sprintf("%d failed", all.failed))
	}
	return r
}

func (h happening) row(start time.Time) row {
	r := row{}.add(dim, "  %s  ", clock(h.at.Sub(start)))
	if h.act {
		return r.add(bold, "%s", h.text)
	}
	return r.add(normal, "  %s", h.text)
}

// clock prints a moment of the show as minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
