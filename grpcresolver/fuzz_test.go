package grpcresolver

import (
	"math"
	"math/big"
	"regexp"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
)

var decimal = regexp.MustCompile(`^[+-]?[0-9]+$`)

// gRFC A6: the pushback is an int32 in decimal digits; a negative or unreadable one says not to retry at all.
func FuzzPushback(f *testing.F) {
	f.Add("30", "", 0)
	f.Add("-1", "", 0)
	f.Add("99999999999999999999", "", 0)
	f.Add("2147483647", "", 0)
	f.Add("2147483648", "", 0)
	f.Add("1", "2", 1)
	f.Add("1_0", "x", 2)
	f.Add(" 1", "", 0)
	f.Fuzz(func(t *testing.T, value, other string, more int) {
		trailer := metadata.MD{"grpc-retry-pushback-ms": {value}}
		wantStop, want := true, time.Duration(0)
		if n, ok := new(big.Int).SetString(value, 10); ok && decimal.MatchString(value) && n.Sign() >= 0 && n.Cmp(big.NewInt(math.MaxInt32)) <= 0 {
			wantStop, want = false, time.Duration(n.Int64())*time.Millisecond
		}
		switch more {
		case 1: // two of them say nothing that can be obeyed
			trailer.Append("grpc-retry-pushback-ms", other)
			wantStop, want = true, 0
		case 2:
			trailer.Set("x-envoy-ratelimited", other)
			wantStop, want = true, 0
		}
		if stop, pause := pushback(trailer); stop != wantStop || pause != want {
			t.Errorf("%v: %v %v, want %v %v", trailer, stop, pause, wantStop, want)
		}
	})
}
