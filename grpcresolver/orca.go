package grpcresolver

import (
	"math"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onehop-go/onehop/internal/health"
)

// loadTrailer is where a server reports its load with each call (gRFC A51): an xds.data.orca.v3.OrcaLoadReport.
const loadTrailer = "endpoint-load-metrics-bin"

// The fields of an OrcaLoadReport that make a weight, all of them doubles
// (https://github.com/cncf/xds/blob/main/xds/data/orca/v3/orca_load_report.proto). Its Go type would bring two modules to
// every importer, and google.golang.org/grpc/orca would decode every report twice.
const (
	orcaCPU         protowire.Number = 1
	orcaRate        protowire.Number = 6
	orcaErrors      protowire.Number = 7
	orcaApplication protowire.Number = 9
)

// loadOf reads a server's report; false: there is none, or it cannot be read.
func loadOf(trailer metadata.MD) (l health.Load, ok bool) {
	values := trailer[loadTrailer]
	if len(values) != 1 {
		return l, false
	}
	var cpu float64
	for b := []byte(values[0]); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return l, false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return l, false
		}
		if kind == protowire.Fixed64Type {
			bits, _ := protowire.ConsumeFixed64(b)
			switch value := math.Float64frombits(bits); number {
			case orcaCPU:
				cpu = value
			case orcaRate:
				l.Rate = value
			case orcaErrors:
				l.Errors = value
			case orcaApplication:
				l.Utilization = value
			default: // of no use here
			}
		}
		b = b[n:]
	}
	if l.Utilization <= 0 { // the server's own word goes before its processor's
		l.Utilization = cpu
	}
	return l, true
}

// hearLoad passes on what the server at e reported with a call.
func hearLoad(set *health.Set, e *health.Endpoint, trailer metadata.MD) {
	if l, ok := loadOf(trailer); ok && e != nil {
		set.Reported(health.Now(), e, l)
	}
}
