package grpcresolver

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onehop-go/onehop/internal/health"
)

// report encodes an OrcaLoadReport as a server would.
func report(fields map[protowire.Number]float64) string {
	var b []byte
	for n, v := range fields {
		b = protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(v))
	}
	return string(b)
}

func TestLoadOfATrailer(t *testing.T) {
	whole := map[protowire.Number]float64{orcaCPU: .5, orcaRate: 100, orcaErrors: 3}
	entry := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte("queue"))
	entry = protowire.AppendFixed64(protowire.AppendTag(entry, 2, protowire.Fixed64Type), math.Float64bits(7))
	others := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 99)           // rps, which nobody uses any more
	others = protowire.AppendBytes(protowire.AppendTag(others, 8, protowire.BytesType), entry)        // a named metric
	others = protowire.AppendBytes(protowire.AppendTag(others, orcaRate, protowire.BytesType), entry) // a field of another type
	for name, row := range map[string]struct {
		trailer metadata.MD
		want    health.Load
		ok      bool
	}{
		"none":                  {nil, health.Load{}, false},
		"other trailers":        {metadata.Pairs("a", "b"), health.Load{}, false},
		"two":                   {metadata.Pairs(loadTrailer, report(whole), loadTrailer, report(whole)), health.Load{}, false},
		"empty":                 {metadata.Pairs(loadTrailer, ""), health.Load{}, true},
		"processor":             {metadata.Pairs(loadTrailer, report(whole)), health.Load{Rate: 100, Errors: 3, Utilization: .5}, true},
		"beside what we ignore": {metadata.Pairs(loadTrailer, report(whole)+string(others)), health.Load{Rate: 100, Errors: 3, Utilization: .5}, true},
		"the application's own word": {
			metadata.Pairs(loadTrailer, report(map[protowire.Number]float64{orcaCPU: .5, orcaApplication: .8, orcaRate: 10})),
			health.Load{Rate: 10, Utilization: .8}, true,
		},
		"cut off":       {metadata.Pairs(loadTrailer, report(whole)[:5]), health.Load{}, false},
		"no such field": {metadata.Pairs(loadTrailer, "\x00\x00"), health.Load{}, false},
	} {
		if got, ok := loadOf(row.trailer); ok != row.ok || ok && got != row.want {
			t.Errorf("%s: %+v %v, want %+v %v", name, got, ok, row.want, row.ok)
		}
	}
}

// Whatever a server says, it is one report or none, and never a panic.
func FuzzLoadOf(f *testing.F) {
	f.Add(report(map[protowire.Number]float64{orcaCPU: .5, orcaRate: 100}))
	f.Add("\x09")
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := loadOf(metadata.MD{loadTrailer: {text}})
		again, _ := loadOf(metadata.MD{loadTrailer: {text + text}})
		if same := fmt.Sprint(l) == fmt.Sprint(again); ok && !same { // the last of a repeated field counts
			t.Errorf("%q: %+v, twice %+v", text, l, again)
		}
	})
}

// busy is a server that says how busy it is.
type busy struct {
	server
	says string
}

func (b *busy) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if err := grpc.SetTrailer(ctx, metadata.Pairs(loadTrailer, b.says)); err != nil {
		return nil, err
	}
	return b.server.UnaryCall(ctx, in)
}

// Two servers that report load get calls by it once the blackout of gRFC A58 is over, with our loop and in the scheme-only mode, and nobody
// has configured anything.
func TestServersLoadFeedsTheirWeights(t *testing.T) {
	for mode, dial := range modes {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := lay(t)
				n.add(t, "10.0.0.1:80", &busy{server{ledger: &executions{}, addr: "idle"}, report(map[protowire.Number]float64{orcaRate: 100, orcaCPU: .25})})
				n.add(t, "10.0.0.2:80", &busy{server{ledger: &executions{}, addr: "busy"}, report(map[protowire.Number]float64{orcaRate: 100, orcaApplication: .75})})
				hop, _ := hopTo(t, inTurns(), "10.0.0.1:80", "10.0.0.2:80")
				_, client := dial(t, hop, grpc.WithContextDialer(n.dial))
				share := func(calls int) (idle int) {
					for i := range calls {
						if who(t, client, fmt.Sprint(i)) == "idle" {
							idle++
						}
						time.Sleep(100 * time.Millisecond)
					}
					return idle
				}
				synctest.Wait()
				share(10) // both connections stand
				if got := share(80); got != 40 {
					t.Errorf("%d of 80 calls in the blackout", got)
				}
				share(50)
				if got := share(200); got != 150 {
					t.Errorf("%d of 200 calls to the server with three times the capacity; want 150", got)
				}
			})
		})
	}
}
