package report

import "context"

// Section is one part of the report. Zero fields are left out of the page.
type Section struct {
	Order    int               `json:"order"` // its place on the page, ascending
	Name     string            `json:"name"`  // a file name without its extension: "call"
	Title    string            `json:"title"`
	Command  string            `json:"command"`            // measures it again, from the repository's root
	Text     string            `json:"text,omitempty"`     // Markdown above the tables: what is measured, and how
	Programs map[string]string `json:"programs,omitempty"` // name to version of the programs that took part, onehop's modules aside
	Missing  map[string]string `json:"missing,omitempty"`  // name to reason of what should have taken part and could not
	Gates    []Gate            `json:"gates,omitempty"`
	Tables   []Table           `json:"tables,omitempty"`
	Plots    []Plot            `json:"plots,omitempty"`
	Run      Run               `json:"run"`
}

// Options say how thoroughly to measure.
type Options struct {
	Short  bool                             // so little work that only rot is noticed; its figures mean nothing
	Rounds int                              // of a section that measures in rounds; 0: as many as it needs. Fewer mean less
	Logf   func(format string, args ...any) // progress; nil is silent
}

// Log tells progress.
func (o Options) Log(format string, args ...any) {
	if o.Logf != nil {
		o.Logf(format, args...)
	}
}

// Measure makes one section. It ends early with ctx's error, and leaves nothing running. Run is filled by its caller.
type Measure func(ctx context.Context, o Options) (Section, error)

// Table is a table of figures.
type Table struct {
	Title   string   `json:"title,omitempty"`
	Text    string   `json:"text,omitempty"` // Markdown above it
	Columns []string `json:"columns"`        // headings, with the unit: "p99 us"
	Rows    [][]Cell `json:"rows"`           // as long as Columns
}

// Cell is a word or a figure. The zero Cell is empty: not measured.
type Cell struct {
	Text   string  `json:"text,omitempty"`
	Figure *Figure `json:"figure,omitempty"`
}

// Word is a cell with a text.
func Word(s string) Cell { return Cell{Text: s} }

// Number is a cell with a figure that was counted or measured once, or computed from others.
func Number(x float64) Cell { return Measured(Exactly(x)) }

// Measured is a cell with a figure.
func Measured(f Figure) Cell { return Cell{Figure: &f} }

// Plot is a picture: lines, or horizontal bars.
type Plot struct {
	File   string `json:"file"` // without extension; unique in the report: "scale-pick"
	Title  string `json:"title"`
	XLabel string `json:"x,omitempty"`
	YLabel string `json:"y,omitempty"`
	LogX   bool   `json:"log_x,omitempty"` // values of at most 0 are left out
	LogY   bool   `json:"log_y,omitempty"`
	XTicks []Tick `json:"x_ticks,omitempty"` // in place of computed ones
	Lines  []Line `json:"lines,omitempty"`
	Bars   []Bar  `json:"bars,omitempty"` // from the top down; XLabel is their unit
}

// Line is a series of points in ascending X.
type Line struct {
	Name   string  `json:"name"`
	Ours   bool    `json:"ours,omitempty"` // drawn thick
	Points []Point `json:"points"`
}

// Point is a point of a Line.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Tick labels a place on an axis.
type Tick struct {
	Value float64 `json:"value"`
	Label string  `json:"label"`
}

// Bar is one bar, with its 95 % confidence interval where the Figure has one.
type Bar struct {
	Name   string `json:"name"`
	Ours   bool   `json:"ours,omitempty"` // drawn in another colour
	Figure Figure `json:"figure"`
}
