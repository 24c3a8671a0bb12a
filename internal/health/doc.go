// Package health judges the endpoints of one upstream from the outcomes of its own calls.
//
// An Endpoint keeps what its attempts told: a peak latency average, a success share, what is in flight, and, only
// after a failure, a circuit breaker. A Set holds the endpoints of one upstream across snapshots and publishes an
// immutable View: all of them, and the available ones, whose breaker is closed. Health steers and never refuses: when
// no endpoint is available the whole list is used. Everything here is arithmetic over a `now` passed in; the only
// clock read is gobreaker's own.
package health

import "time"

// epoch anchors the process's monotonic instants. Wall clock jumps never move them. It lies far back, so that instants
// are positive in a testing/synctest bubble as well, whose time begins at the year 2000, and 0 is long ago.
var epoch = time.Now().Add(-100 * 365 * 24 * time.Hour)

// Now is the present as a monotonic instant: positive nanoseconds since an epoch of the process. The edge calls it once
// per event and passes the value in.
func Now() time.Duration { return time.Since(epoch) }

// Time turns an instant into a time for people.
func Time(now time.Duration) time.Time { return epoch.Add(now) }
