package interop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats/opentelemetry"
)

// otelgrpc makes of every attempt the span that it makes of grpc-go's own, in the same order, under the same parent, with
// the same name, attributes, status and events, and counts the same.
func TestOtelgrpcSeesTheSame(t *testing.T) {
	compare(t, func(t *testing.T) ([]grpc.DialOption, func() string) {
		t.Helper()
		spans, meter := tracetest.NewSpanRecorder(), metric.NewManualReader()
		l := &listener{}
		handler := otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans))),
			otelgrpc.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(meter))),
			otelgrpc.WithPropagators(propagation.TraceContext{}))
		// The listener comes last, and so has heard of the end when otelgrpc has.
		return []grpc.DialOption{grpc.WithStatsHandler(handler), grpc.WithStatsHandler(l)}, func() string {
			l.told()
			return describeSpans(spans.Ended()) + describeMetrics(t, meter)
		}
	})
}

// grpc-go's own OpenTelemetry plugin (gRFC A66) counts calls by an interceptor and attempts by a stats handler.
func TestOpenTelemetryPluginSeesTheSame(t *testing.T) {
	compare(t, func(t *testing.T) ([]grpc.DialOption, func() string) {
		t.Helper()
		meter := metric.NewManualReader()
		l := &listener{}
		plugin := opentelemetry.DialOption(opentelemetry.Options{MetricsOptions: opentelemetry.MetricsOptions{
			MeterProvider: metric.NewMeterProvider(metric.WithReader(meter)),
			Metrics:       opentelemetry.DefaultMetrics(),
		}})
		return []grpc.DialOption{plugin, grpc.WithStatsHandler(l)}, func() string {
			l.told()
			return describeMetrics(t, meter)
		}
	})
}

func describeSpans(spans []trace.ReadOnlySpan) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "span %q %v %v parent %v %s\n", s.Name(), s.SpanKind(), s.Status(), s.Parent().IsValid(), list(s.Attributes()))
		for _, e := range s.Events() {
			fmt.Fprintf(&b, "\tevent %q %s\n", e.Name, list(e.Attributes))
		}
	}
	return b.String()
}

func list(attributes []attribute.KeyValue) string {
	var all []string
	for _, a := range attributes {
		all = append(all, fmt.Sprintf("%s=%s", a.Key, a.Value.String()))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// describeMetrics is all that was counted; of times, how often they were taken.
func describeMetrics(t *testing.T, r *metric.ManualReader) string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					lines = append(lines, fmt.Sprintf("%s %s: %d", m.Name, list(p.Attributes.ToSlice()), p.Count))
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					lines = append(lines, fmt.Sprintf("%s %s: %d, sum %d", m.Name, list(p.Attributes.ToSlice()), p.Count, p.Sum))
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					lines = append(lines, fmt.Sprintf("%s %s: %d", m.Name, list(p.Attributes.ToSlice()), p.Value))
				}
			default:
				t.Fatalf("%s is %T", m.Name, data)
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
