package httpclient

import (
	"math/big"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/onehop-go/onehop/internal/engine"
	"github.com/onehop-go/onehop/internal/health"
)

var (
	delaySeconds = regexp.MustCompile(`^[0-9]+$`)
	maxDelay     = big.NewInt(1 << 31)
)

// expectedDelay is RFC 9110 10.2.3 over again: delay-seconds in digits, or one of the forms of a date.
func expectedDelay(s string, now time.Time) time.Duration {
	if delaySeconds.MatchString(s) {
		n, _ := new(big.Int).SetString(s, 10)
		if n.Cmp(maxDelay) >= 0 {
			return 0
		}
		return time.Duration(n.Int64()) * time.Second
	}
	for _, form := range []string{http.TimeFormat, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(form, s); err == nil {
			return max(0, t.Sub(now))
		}
	}
	return 0
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{
		"", "0", "1", "007", "-0", "+1", "1_0", "0x10", "2147483647", "2147483648", "99999999999999999999", "1 ", "١",
		"Wed, 01 Jul 2026 12:00:30 GMT", "Wednesday, 01-Jul-26 12:01:00 GMT", "Wed Jul  1 12:00:00 2099", "Fri, 31 Dec 9999 23:59:59 GMT",
		"Mon, 01 Jan 0001 00:00:00 GMT",
	} {
		f.Add(s)
	}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := retryAfter(s, now), expectedDelay(s, now); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	})
}

// Whatever an instance answers: an answer counts as one, and only a refusal can ask for a pause or end the retries.
func FuzzJudgeResponse(f *testing.F) {
	f.Add(200, "5", "true")
	f.Add(429, "5", "")
	f.Add(503, "Wed, 01 Jul 2026 12:00:30 GMT", "x")
	f.Add(500, "-1", "x")
	now := func() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }
	f.Fuzz(func(t *testing.T, status int, delay, limited string) {
		header := http.Header{}
		header.Set("Retry-After", delay)
		header.Set("X-Envoy-Ratelimited", limited)
		r := judgeResponse(&http.Response{StatusCode: status, Header: header}, now)
		if !r.Answer || r.Status != status || r.Unsent || r.Ended != 0 || r.Err != nil {
			t.Errorf("%d: %+v", status, r)
		}
		if r.Outcome == health.OK && (r.Pause != 0 || r.Stop) || r.Outcome == health.Refused || r.Pause < 0 {
			t.Errorf("%d %v: %+v", status, header, r)
		}
		if status < 500 && status != http.StatusTooManyRequests && r.Outcome != health.OK {
			t.Errorf("%d counts against the instance: %+v", status, r)
		}
		if r.Kind != engine.KindOfStatus(status) {
			t.Errorf("%d is %v", status, r.Kind)
		}
	})
}
