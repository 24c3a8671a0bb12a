package report

import (
	"errors"
	"image/color"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// palette can be told apart by the colour-blind as well (Okabe and Ito).
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0x99, 0x99, 0x99, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0x00, 0x00, 0x00, 0xff},
}

// A picture's size. PNG, since an SVG's words are as wide as its reader's font, and cover the bars.
const (
	width = 18 * vg.Centimeter
	dpi   = 120
)

// draw writes the picture as PNG.
func (p Plot) draw(file string) error {
	c := p.canvas()
	height := 10 * vg.Centimeter
	if len(p.Bars) > 0 {
		height = vg.Length(len(p.Bars))*0.7*vg.Centimeter + 2.5*vg.Centimeter
	}
	for i, l := range p.Lines {
		if err := p.line(c, l, palette[i%len(palette)]); err != nil {
			return err
		}
	}
	if err := p.bars(c); err != nil {
		return err
	}
	if len(p.Lines) > 0 {
		p.headroom(c)
	}
	return save(c, height, file)
}

// headroom keeps the legend clear of the lines.
func (p Plot) headroom(c *plot.Plot) {
	const share = 0.3 // of the lines' own height
	if p.LogY {
		c.Y.Max *= math.Pow(c.Y.Max/c.Y.Min, share)
	} else {
		c.Y.Max += share * (c.Y.Max - c.Y.Min)
	}
}

func save(c *plot.Plot, height vg.Length, file string) (err error) {
	picture := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
	c.Draw(draw.New(picture))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = vgimg.PngCanvas{Canvas: picture}.WriteTo(f)
	return err
}

func (p Plot) canvas() *plot.Plot {
	c := plot.New()
	sans(c)
	c.Title.Text, c.X.Label.Text, c.Y.Label.Text = p.Title, p.XLabel, p.YLabel
	c.Title.Padding = vg.Points(6)
	c.Legend.Top, c.Legend.Left = true, true
	c.X.Tick.Marker, c.Y.Tick.Marker = short{plot.DefaultTicks{}}, short{plot.DefaultTicks{}}
	if p.LogX {
		c.X.Scale, c.X.Tick.Marker = plot.LogScale{}, short{plot.LogTicks{}}
	}
	if p.LogY {
		c.Y.Scale, c.Y.Tick.Marker = plot.LogScale{}, short{oneTwoFive{}}
	}
	if len(p.XTicks) > 0 {
		ticks := make(plot.ConstantTicks, len(p.XTicks))
		for i, t := range p.XTicks {
			ticks[i] = plot.Tick{Value: t.Value, Label: t.Label}
		}
		c.X.Tick.Marker = ticks
	}
	c.Add(plotter.NewGrid())
	return c
}

func sans(c *plot.Plot) {
	for _, f := range []*font.Font{
		&c.Title.TextStyle.Font, &c.X.Label.TextStyle.Font, &c.Y.Label.TextStyle.Font, &c.X.Tick.Label.Font, &c.Y.Tick.Label.Font, &c.Legend.TextStyle.Font,
	} {
		f.Variant = "Sans"
	}
}

func (p Plot) line(c *plot.Plot, l Line, shade color.Color) error {
	var xy plotter.XYs
	for _, pt := range l.Points {
		if p.LogX && pt.X <= 0 || p.LogY && pt.Y <= 0 {
			continue
		}
		xy = append(xy, plotter.XY{X: pt.X, Y: pt.Y})
	}
	if len(xy) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(xy)
	if err != nil {
		return err
	}
	line.Color, line.Width = shade, vg.Points(1.2)
	if l.Ours {
		line.Width = vg.Points(2.5)
	}
	dots.Color, dots.Shape, dots.Radius = shade, draw.CircleGlyph{}, vg.Points(2.2)
	c.Add(line, dots)
	c.Legend.Add(l.Name, line, dots)
	return nil
}

func (p Plot) bars(c *plot.Plot) error {
	n := len(p.Bars)
	if n == 0 {
		return nil
	}
	names := make([]string, n)
	for i, b := range p.Bars {
		at := float64(n - 1 - i) // the first at the top
		names[n-1-i] = b.Name
		bar, err := plotter.NewBarChart(plotter.Values{b.Figure.Median}, 0.45*vg.Centimeter)
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width = true, at, 0
		bar.Color = palette[6]
		if b.Ours {
			bar.Color = palette[0]
		}
		c.Add(bar, value{x: max(b.Figure.Median, b.Figure.High), y: at, text: digits(b.Figure.Median)})
		if b.Figure.Low > 0 {
			whisker, err := plotter.NewLine(plotter.XYs{{X: b.Figure.Low, Y: at}, {X: b.Figure.High, Y: at}})
			if err != nil {
				return err
			}
			c.Add(whisker)
		}
	}
	c.NominalY(names...)
	c.X.Min = 0
	return nil
}

// value writes a bar's figure at its end.
type value struct {
	x, y float64
	text string
}

func (v value) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := p.X.Tick.Label
	style.XAlign, style.YAlign = draw.XLeft, draw.YCenter
	c.FillText(style, vg.Point{X: x(v.x) + vg.Points(3), Y: y(v.y)}, v.text)
}

// DataRange leaves room for the text.
func (v value) DataRange() (xmin, xmax, ymin, ymax float64) { return 0, v.x * 1.1, v.y, v.y }

// oneTwoFive are the ticks of a logarithmic axis that may be shorter than a decade.
type oneTwoFive struct{}

// Ticks implements plot.Ticker.
func (oneTwoFive) Ticks(low, high float64) (ticks []plot.Tick) {
	for decade := math.Pow10(int(math.Floor(math.Log10(low)))); decade <= high; decade *= 10 {
		for _, step := range []float64{1, 2, 5} {
			if v := step * decade; v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: digits(v)})
			}
		}
	}
	return ticks
}

// short labels ticks as the tables do.
type short struct{ plot.Ticker }

func (s short) Ticks(low, high float64) []plot.Tick {
	ticks := s.Ticker.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = digits(ticks[i].Value)
		}
	}
	return ticks
}
