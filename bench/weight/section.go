package weight

import (
	"context"

	"github.com/onehop-go/onehop/bench/report"
)

// importer is one of the programs. The first of a family is the bare one.
type importer struct {
	title, name string
	ours        bool
	requires    []string
}

const (
	grpcGo = "google.golang.org/grpc"
	kratos = "github.com/go-kratos/kratos/v2"
	goZero = "github.com/zeromicro/go-zero"
	safe   = "github.com/failsafe-go/failsafe-go"
)

// overHTTP and overGRPC: failsafe-go's gRPC part is a module's package, so what it requires is required here too.
var (
	overHTTP = []importer{
		{title: "net/http", name: "nethttp"},
		{title: "onehop", name: "onehophttp", ours: true, requires: []string{root}},
		{title: "go-retryablehttp, gobreaker", name: "retryablehttp", requires: []string{"github.com/hashicorp/go-retryablehttp", "github.com/sony/gobreaker/v2"}},
		{title: "failsafe-go", name: "failsafehttp", requires: []string{safe}},
		{title: "heimdall, hystrix", name: "heimdall", requires: []string{"github.com/gojek/heimdall/v7"}},
		{title: "kratos, without a registry", name: "kratoshttp", requires: []string{kratos}},
		{title: "go-zero httpc", name: "gozerohttp", requires: []string{goZero}},
	}
	overGRPC = []importer{
		{title: "grpc-go", name: "grpcgo", requires: []string{grpcGo}},
		{title: "onehop", name: "onehopgrpc", ours: true, requires: []string{root, grpcGo}},
		{title: "failsafe-go", name: "failsafegrpc", requires: []string{safe, grpcGo}},
		{title: "kratos, without a registry", name: "kratosgrpc", requires: []string{kratos, grpcGo}},
		{title: "go-zero zrpc", name: "gozerogrpc", requires: []string{goZero, grpcGo}},
	}
)

// Weight builds all programs; the short form builds the bare HTTP one and ours.
func Weight(ctx context.Context, o report.Options) (report.Section, error) {
	families := [][]importer{overHTTP, overGRPC}
	if o.Short {
		families = [][]importer{overHTTP[:2]}
	}
	s := report.Section{
		Order: 50, Name: "weight", Title: "What an importer pays",
		Command: "cd bench && go run ./cmd/report -docs ../docs -only weight", Text: text,
	}
	for i, family := range families {
		t := report.Table{
			Title:   []string{"HTTP", "gRPC"}[i],
			Columns: []string{"program with", "stripped MB", "above the bare one MB", "modules linked", "lines of go.sum"},
		}
		plot := report.Plot{
			File: []string{"weight-http", "weight-grpc"}[i], XLabel: "MB above the bare program",
			Title: []string{"Size of an HTTP importer", "Size of a gRPC importer"}[i],
		}
		var bare program
		for k, im := range family {
			o.Log("weight: building %s", im.name)
			p, err := build(ctx, im.name, im.requires)
			if err != nil {
				return report.Section{}, err
			}
			if k == 0 {
				bare = p
			} else {
				plot.Bars = append(plot.Bars, report.Bar{Name: im.title, Ours: im.ours, Figure: report.Exactly(mb(p.bytes - bare.bytes))})
			}
			if im.ours {
				s.Gates = append(s.Gates, gates(i, p, bare)...)
			}
			t.Rows = append(t.Rows, []report.Cell{
				report.Word(im.title), report.Number(mb(p.bytes)), report.Number(mb(p.bytes - bare.bytes)), report.Number(float64(p.modules)),
				report.Number(float64(p.sums)),
			})
		}
		s.Tables, s.Plots = append(s.Tables, t), append(s.Plots, plot)
	}
	return s, nil
}

const text = `Each row is a program of a few lines that makes one call (bench/weight/programs), built in a module of its own with
` + "`-ldflags='-s -w'`" + `. onehop brings discovery from Consul and its policies; of the others only
go-zero's gRPC client brings a discovery (etcd, Kubernetes).`

func gates(family int, p, bare program) []report.Gate {
	above := report.Exactly(mb(p.bytes - bare.bytes))
	if family == 1 {
		return []report.Gate{{What: "a gRPC importer above bare grpc-go", Bound: report.AtMost, Aim: 3, Unit: "MB", Measured: above}}
	}
	return []report.Gate{
		{What: "an HTTP importer above bare net/http", Bound: report.AtMost, Aim: 2, Unit: "MB", Measured: above},
		{What: "modules linked by an HTTP importer", Bound: report.AtMost, Aim: 24, Measured: report.Exactly(float64(p.modules))},
	}
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
