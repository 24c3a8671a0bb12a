package main

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// Measures and colours of the picture: a dark terminal that reads well on light and dark pages.
const (
	charWidth  = 8.4
	lineHeight = 19
	margin     = 16
)

var colours = map[style]string{
	normal: "#d8dee9", bold: "#ffffff", dim: "#8a93a5", green: "#8fd18f", red: "#ff7b72", yellow: "#e3b341", cyan: "#6cc7e8",
}

// picture is a screen as an SVG image.
func picture(rows []row) []byte {
	const columns = 90
	var b bytes.Buffer
	width, height := columns*charWidth+2*margin, len(rows)*lineHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" `, width, height)
	b.WriteString(`font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14">` + "\n")
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="#12161f"/>`+"\n")
	for i, r := range rows {
		x := 0
		for _, s := range r.cut(columns) {
			n := len([]rune(s.text))
			if strings.TrimSpace(s.text) == "" {
				x += n
				continue
			}
			weight := ""
			if s.style == bold {
				weight = ` font-weight="bold"`
			}
			// textLength keeps columns in line whatever font the reader has.
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="%s"%s xml:space="preserve" textLength="%.1f">%s</text>`+"\n",
				margin+float64(x)*charWidth, margin+(i+1)*lineHeight-5, colours[s.style], weight, float64(n)*charWidth, html.EscapeString(s.text))
			x += n
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
