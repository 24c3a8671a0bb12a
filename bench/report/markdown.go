package report

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// folder of the sections' files and plots, beside performance.md.
const folder = "performance"

// Dir is where Save puts the sections of the documents in docs.
func Dir(docs string) string { return filepath.Join(docs, folder) }

// Render writes docs/performance.md and the plots from the sections' files alone.
func Render(docs string) error {
	sections, err := Load(Dir(docs))
	if err != nil {
		return err
	}
	for _, s := range sections {
		for _, p := range s.Plots {
			if err := p.draw(filepath.Join(Dir(docs), p.File+".png")); err != nil {
				return fmt.Errorf("report: plot %s: %w", p.File, err)
			}
		}
	}
	return os.WriteFile(filepath.Join(docs, "performance.md"), []byte(page(sections)), 0o644) //nolint:gosec // a document
}

const preface = `# Speed, measured side by side

What a call costs with onehop, beside what its users would pick instead, on the same work in the same run. One command,
from the root of a clone, measures everything again and writes this page:

    make report

Every figure comes from a file in [performance](performance) that the command wrote, with the machine, the versions and
the date of its run. ± is benchstat's: the interval that holds the true median with 95 % confidence. Rounds of all the
candidates are interleaved, so that what else the machine does meets all of them alike. Ratios carry over to other machines;
absolute times do not.
`

func page(sections []Section) string {
	var b strings.Builder
	b.WriteString(preface)
	gates(&b, sections)
	for _, s := range sections {
		s.write(&b)
	}
	return b.String()
}

// gates is the table of all aims, the missed ones as well.
func gates(b *strings.Builder, sections []Section) {
	t := Table{Columns: []string{"gate", "aim", "measured", "met", "section"}}
	met, notes := 0, ""
	for _, s := range sections {
		for _, g := range s.Gates {
			unit := strings.TrimRight(" "+g.Unit, " ")
			t.Rows = append(t.Rows, []Cell{
				Word(g.What), Word(string(g.Bound) + " " + digits(g.Aim) + unit), Word(g.Measured.String() + unit), Word(g.Verdict()), Word(s.link()),
			})
			if g.Met() {
				met++
			}
			if g.Note != "" {
				notes += "- " + g.What + ": " + g.Note + "\n"
			}
		}
	}
	if len(t.Rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## The aims\n\n%d of %d are met.\n", met, len(t.Rows))
	t.write(b)
	if notes != "" {
		b.WriteString("\n" + notes)
	}
}

func (s Section) link() string { return "[" + s.Name + "](#" + s.anchor() + ")" }

// anchor is a heading's name in a link, by GitHub's rule.
func (s Section) anchor() string {
	keep := func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z':
			return r
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(s.Title))
}

func (s Section) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", s.Title)
	if s.Text != "" {
		b.WriteString(strings.TrimSpace(s.Text) + "\n\n")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Missing)) {
		fmt.Fprintf(b, "Not measured: %s. %s\n\n", name, s.Missing[name])
	}
	s.provenance(b)
	for _, t := range s.Tables {
		t.write(b)
	}
	for _, p := range s.Plots {
		fmt.Fprintf(b, "\n![%s](%s/%s.png)\n", p.Title, folder, p.File)
	}
}

// provenance is the line that says where the figures come from.
func (s Section) provenance(b *strings.Builder) {
	r := s.Run
	if r.Short {
		b.WriteString("**Measured in the short form: these figures mean nothing.**\n\n")
	}
	fmt.Fprintf(b, "`%s`, %s in %s; %d cores, %s, %s; %s; onehop %s", s.Command, r.Date.Format("2006-01-02 15:04 MST"), r.Took,
		r.Cores, r.CPU, r.Kernel, r.Go, r.Commit)
	for _, versions := range []map[string]string{s.Programs, r.Modules} {
		for _, name := range slices.Sorted(maps.Keys(versions)) {
			fmt.Fprintf(b, ", %s %s", strings.TrimPrefix(name, "github.com/"), versions[name])
		}
	}
	fmt.Fprintf(b, ". Data: [%s.json](%s/%s.json)\n", s.Name, folder, s.Name)
}

func (t Table) write(b *strings.Builder) {
	b.WriteString("\n")
	if t.Title != "" {
		fmt.Fprintf(b, "**%s**\n\n", t.Title)
	}
	if t.Text != "" {
		b.WriteString(strings.TrimSpace(t.Text) + "\n\n")
	}
	b.WriteString("| " + strings.Join(t.Columns, " | ") + " |\n|---|" + strings.Repeat("---:|", len(t.Columns)-1) + "\n")
	for _, row := range t.Rows {
		for _, c := range row {
			b.WriteString("| " + c.String() + " ")
		}
		b.WriteString("|\n")
	}
}

// String is the cell as it stands in a table.
func (c Cell) String() string {
	if c.Figure != nil {
		return c.Figure.String()
	}
	return strings.ReplaceAll(c.Text, "|", `\|`)
}
