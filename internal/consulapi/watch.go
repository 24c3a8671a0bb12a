package consulapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"
)

// slack is what an answer may take beyond its wait: the way, and up to 7 s without a leader.
const slack = 10 * time.Second

// Turn is one round of a watch: the read that may block, the reads that confirm it, the judgement.
type Turn struct {
	client *Client
	watch  *watch
	rest   rest
	wait   time.Duration // of a blocking query; 0: the settings'
	bad    error         // the index of a good answer was none
}

// rest is how long a watch pauses.
type rest struct {
	least, usual time.Duration
	asked        <-chan struct{}
}

// watch is the state of one loop.
type watch struct {
	pace   pace
	cursor cursor
}

// Watch runs step until ctx ends. step reads by Turn.Next and Turn.Confirm, judges, publishes, and returns an error for
// a read that failed or is not believed: failed is told, the index forgotten, and the next turn waits longer.
func (c *Client) Watch(ctx context.Context, step func(context.Context, *Turn) error, failed func(error)) {
	w := &watch{pace: newPace()}
	for ctx.Err() == nil {
		turn := &Turn{client: c, watch: w}
		err := step(ctx, turn)
		if ctx.Err() != nil {
			return
		}
		pause := turn.rest
		switch {
		case err != nil:
			w.cursor.failed()
		case turn.bad != nil:
			err = turn.bad
		}
		if err != nil {
			failed(err)
			pause.least = max(pause.least, w.pace.failed(KindOf(err), rand.Float64()))
		} else {
			w.pace.succeeded()
		}
		if Rest(ctx, pause.least, pause.usual, pause.asked) != nil {
			return
		}
	}
}

// Rest makes the next turn begin as the function of that name has it, for what cannot block.
func (t *Turn) Rest(least, usual time.Duration, asked <-chan struct{}) {
	t.rest = rest{least, usual, asked}
}

// LimitWait makes Next block no longer than d.
func (t *Turn) LimitWait(d time.Duration) { t.wait = d }

// Request makes one read with the options it is given.
type Request func(*api.QueryOptions) error

// Next is the watch's own read: blocking where the index is believed and a place to block is free, else plain.
func (t *Turn) Next(ctx context.Context, subject string, mode Mode, request Request) (Meta, error) {
	cursor := &t.watch.cursor
	meta, asked, err := t.read(ctx, subject, mode, cursor.next(time.Now()), request)
	if errors.Is(err, errIndex) {
		t.bad, err = err, nil
	}
	if err == nil {
		cursor.took(time.Now(), asked, meta.Index, rand.Float64())
	}
	return meta, err
}

// Poll is the watch's own read of what knows no blocking.
func (t *Turn) Poll(ctx context.Context, subject string, mode Mode, request Request) (Meta, error) {
	meta, _, err := t.read(ctx, subject, mode, 0, request)
	if errors.Is(err, errIndex) {
		err = nil
	}
	return meta, err
}

// Confirm is a plain, consistent read: no index, no cache, answered by the leader.
func (t *Turn) Confirm(ctx context.Context, subject string, request Request) (Meta, error) {
	return t.Poll(ctx, subject, Consistent, request)
}

// read waits for the pace and a place, and sends. It tells the index it asked with.
func (t *Turn) read(ctx context.Context, subject string, mode Mode, index uint64, request Request) (Meta, uint64, error) {
	c := t.client
	if err := sleep(ctx, t.watch.pace.take(time.Now()), nil); err != nil {
		return Meta{}, 0, err
	}
	block, leave, err := c.lanes.enter(ctx, index > 0)
	if err != nil {
		return Meta{}, 0, err
	}
	defer leave()
	if !block {
		index = 0
	}
	q := &api.QueryOptions{WaitIndex: index, AllowStale: mode == Stale, RequireConsistent: mode == Consistent, UseCache: mode == Cached}
	if index > 0 {
		q.WaitTime = c.settings.wait
		if t.wait > 0 {
			q.WaitTime = min(q.WaitTime, t.wait)
		}
	}
	meta, err := c.send(ctx, subject, q, request)
	meta.Plain = index == 0 && mode != Cached
	return meta, index, err
}

// Mode is the consistency of a watch's own reads, see
// https://developer.hashicorp.com/consul/api-docs/features/consistency.
type Mode int

// The modes of a read.
const (
	Stale Mode = iota // any server answers
	Consistent
	Cached // the agent's cache
)

// send makes one request within its time and reads its headers.
func (c *Client) send(ctx context.Context, subject string, q *api.QueryOptions, request Request) (Meta, error) {
	// The agent adds up to a sixteenth of the wait at random.
	limit := q.WaitTime + q.WaitTime/16 + slack
	q.Datacenter = c.settings.datacenter
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer cancel()
	ex := &exchange{limit: c.maxBody}
	err := request(q.WithContext(context.WithValue(ctx, exchangeKey{}, ex)))
	if err != nil {
		if context.Cause(ctx) == errNoAnswer { //nolint:errorlint // identity: our own cancel
			err = brokenOff{errNoAnswer}
		}
		return Meta{}, c.classify(err, ex.status, subject)
	}
	meta, err := readMeta(ex.header)
	return meta, c.classify(err, ex.status, subject)
}

var errNoAnswer = errors.New("no complete answer in time")

func (c *Client) classify(err error, status int, subject string) error {
	if err == nil {
		return nil
	}
	return classify(err, status, c.settings.shown, subject, c.secrets()...)
}

// sleep waits d, or until a value comes from asked or ctx ends.
func sleep(ctx context.Context, d time.Duration, asked <-chan struct{}) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-asked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Rest waits for usual, or until a value comes from asked, but at least for least; and never longer than ctx lasts.
func Rest(ctx context.Context, least, usual time.Duration, asked <-chan struct{}) error {
	if err := sleep(ctx, least, nil); err != nil {
		return err
	}
	return sleep(ctx, usual-least, asked)
}
