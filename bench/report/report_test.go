package report

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample() Section {
	rounds := []float64{1.1, 1.0, 1.2, 1.1, 1.05, 1.15, 1.1, 1.1}
	return Section{
		Order: 1, Name: "call", Title: "One call, on a stub", Command: "make report", Text: "What it costs.",
		Missing: map[string]string{"httplb": "It cannot be required."},
		Gates: []Gate{
			{What: "added CPU", Bound: AtMost, Aim: 1.9, Unit: "deadlines", Measured: MedianOf(rounds)},
			{What: "share of direct", Bound: AtLeast, Aim: 0.97, Measured: Exactly(0.9), Note: "a slow path is left."},
		},
		Tables: []Table{{Title: "HTTP", Columns: []string{"client", "us"}, Rows: [][]Cell{
			{Word("a|b"), Measured(MedianOf(rounds))}, {Word("onehop"), Number(12345)}, {Word("none"), {}},
		}}},
		Plots: []Plot{
			{File: "bars", Title: "Cost", XLabel: "us", Bars: []Bar{{Name: "onehop", Ours: true, Figure: MedianOf(rounds)}, {Name: "other", Figure: Exactly(3)}}},
			{File: "lines", Title: "Pick", XLabel: "endpoints", YLabel: "ns", LogX: true, LogY: true, Lines: []Line{
				{Name: "onehop", Ours: true, Points: []Point{{10, 20}, {1000, 25}, {0, 3}}}, {Name: "empty"},
			}},
		},
		Run: Run{Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: "3s", Cores: 2, CPU: "a CPU", Kernel: "linux 6", Go: "go1.26"},
	}
}

func TestSaveThenLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "performance")
	first, second := sample(), sample()
	second.Name, second.Order = "another", 2
	for _, s := range []Section{second, first} {
		if err := Save(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, []Section{first, second}) {
		t.Errorf("read back %+v", got)
	}
}

func TestSaveRefusesWhatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(*Section){
		"no title":       func(s *Section) { s.Title = "" },
		"name is a path": func(s *Section) { s.Name = "../call" },
		"ragged row":     func(s *Section) { s.Tables[0].Rows[0] = nil },
		"no number":      func(s *Section) { s.Gates[0].Measured.Median = math.NaN() },
	} {
		s, dir := sample(), t.TempDir()
		spoil(&s)
		if err := Save(dir, s); err == nil {
			t.Errorf("%s: no error", name)
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("%s: wrote %v", name, files)
		}
	}
}

func TestLoadRefusesAnUnknownBound(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte(`{"gates": [{"bound": "about"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), `"about"`) {
		t.Errorf("got %v", err)
	}
}

func TestRender(t *testing.T) {
	docs := t.TempDir()
	if err := Save(Dir(docs), sample()); err != nil {
		t.Fatal(err)
	}
	if err := Render(docs); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 of 2 are met",
		"| added CPU | at most 1.90 deadlines | 1.10 ± 9% deadlines | yes | [call](#one-call-on-a-stub) |",
		"| share of direct | at least 0.970 | 0.900 | no |",
		"- share of direct: a slow path is left.",
		"Not measured: httplb. It cannot be required.",
		`| a\|b | 1.10 ± 9% |`, "| onehop | 12,345 |", "| none |  |",
		"`make report`, 2026-01-02 03:04 UTC in 3s; 2 cores, a CPU, linux 6; go1.26",
		"![Pick](performance/lines.png)",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, file := range []string{"bars.png", "lines.png"} {
		picture, err := os.ReadFile(filepath.Join(Dir(docs), file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil {
			t.Errorf("%s: %d bytes, %v", file, len(picture), err)
		}
	}
}

func TestFigures(t *testing.T) {
	for _, row := range []struct {
		figure Figure
		want   string
	}{
		{Exactly(0.12345), "0.123"},
		{Exactly(7), "7"},
		{Exactly(-1234567.8), "-1,234,568"},
		{MedianOf([]float64{1, 2, 3}), "2"}, // too few rounds for an interval
		{MedianOf([]float64{10, 11, 12, 13, 14, 15, 16, 17, 18}), "14 ± 21%"},
		{MedianOf(nil), "0"},
		{Ratio([]float64{2, 4, 60}, []float64{1, 2, 30}), "2"},
		{Ratio([]float64{2, 4}, []float64{0, 2}), "2"},
		{Ratio([]float64{2}, []float64{0}), "0"},
	} {
		if got := row.figure.String(); got != row.want {
			t.Errorf("%+v reads %q, want %q", row.figure, got, row.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, row := range []struct {
		gate Gate
		want string
	}{
		{Gate{Bound: AtMost, Aim: 2, Measured: Exactly(2)}, "yes"},
		{Gate{Bound: AtMost, Aim: 2, Measured: Exactly(2.1)}, "no"},
		{Gate{Bound: AtLeast, Aim: 2, Measured: Exactly(2.1)}, "yes"},
		{Gate{Bound: AtLeast, Aim: 2, Measured: Figure{Median: 2.1, Low: 1.9, High: 2.2}}, "yes, within noise"},
		{Gate{Bound: AtMost, Aim: 2, Measured: Figure{Median: 2.1, Low: 1.9, High: 2.2}}, "no, within noise"},
	} {
		if got := row.gate.Verdict(); got != row.want {
			t.Errorf("%+v: %q, want %q", row.gate, got, row.want)
		}
	}
}

func TestRan(t *testing.T) {
	r := Ran(t.Context(), time.Now(), Options{Short: true})
	if r.Date.IsZero() || r.CPU == "" || r.Kernel == "" || r.Go == "" || r.Cores < 1 || !r.Short {
		t.Errorf("%+v", r)
	}
}
