package main

import (
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// How the pictures look: the legend beside the lines and not among them, one style of line for each algorithm.
const (
	width, height = 27 * vg.Centimeter, 11 * vg.Centimeter
	legendWidth   = 5.4 * vg.Centimeter
	titleHeight   = 1 * vg.Centimeter
	margin        = 0.3 * vg.Centimeter
)

// style of a line. Colours that the colour-blind can tell apart (Okabe and Ito), and dashes where lines lie on one another.
type style struct {
	color  color.Color
	width  vg.Length
	dashes []vg.Length
}

var styles = []style{
	{color.RGBA{0x00, 0x72, 0xb2, 0xff}, 3, nil},
	{color.RGBA{0x56, 0xb4, 0xe9, 0xff}, 2, []vg.Length{6, 2}},
	{color.RGBA{0xe6, 0x9f, 0x00, 0xff}, 1.4, nil},
	{color.RGBA{0x77, 0x77, 0x77, 0xff}, 1.4, []vg.Length{2, 2}},
	{color.RGBA{0xcc, 0x79, 0xa7, 0xff}, 1.4, []vg.Length{5, 2}},
	{color.RGBA{0x00, 0x9e, 0x73, 0xff}, 1.8, []vg.Length{8, 2, 2, 2}},
	{color.RGBA{0xd5, 0x5e, 0x00, 0xff}, 1.4, nil},
}

func line(i int, xy plotter.XYs) (*plotter.Line, error) {
	l, err := plotter.NewLine(xy)
	if err != nil {
		return nil, err
	}
	s := styles[i%len(styles)]
	l.Color, l.Width, l.Dashes = s.color, vg.Points(float64(s.width)), s.dashes
	return l, nil
}

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

// newPlot is an empty plot.
func newPlot(y, x string) *plot.Plot {
	plot.DefaultFont = sans
	p := plot.New()
	p.Y.Label.Text, p.X.Label.Text = y, x
	p.X.Tick.Marker, p.Y.Tick.Marker = whole{}, whole{}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xdd}, color.Gray{0xdd}
	p.Add(grid)
	return p
}

// whole labels the usual ticks by whole numbers.
type whole struct{}

func (whole) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = fmt.Sprintf("%.4g", ticks[i].Value)
		}
	}
	return ticks
}

// save writes the plots with a title above and the legend beside them, as PNG and SVG.
func save(path, title string, names []string, lines []*plotter.Line, plots [][]*plot.Plot) error {
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.Padding, legend.ThumbnailWidth = true, true, vg.Points(5), vg.Points(26)
	legend.TextStyle.Font = font.From(sans, 11)
	for i, l := range lines {
		legend.Add(" "+names[i], l)
	}
	for _, kind := range []string{"png", "svg"} {
		if err := saveAs(path+"."+kind, kind, title, &legend, plots); err != nil {
			return err
		}
	}
	return nil
}

func saveAs(path, kind, title string, legend *plot.Legend, plots [][]*plot.Plot) error {
	canvas, err := draw.NewFormattedCanvas(width, height, kind)
	if err != nil {
		return err
	}
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	heading := plots[0][0].Title.TextStyle
	heading.Font = font.From(sans, 14)
	heading.XAlign, heading.YAlign = draw.XLeft, draw.YTop
	dc.FillText(heading, vg.Point{X: margin, Y: height - margin}, title)
	body := draw.Crop(dc, margin, -legendWidth, margin, -titleHeight)
	tiles := draw.Tiles{Rows: len(plots), Cols: len(plots[0]), PadX: vg.Points(14)}
	for j, row := range plot.Align(plots, tiles, body) {
		for i, c := range row {
			plots[j][i].Draw(c)
		}
	}
	legend.Draw(draw.Crop(dc, width-legendWidth+margin, 0, margin, -titleHeight))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}
