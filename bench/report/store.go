package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Save writes a section to dir/<name>.json.
func Save(dir string, s Section) error {
	if err := s.check(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("report: section %s: %w", s.Name, err) // a NaN
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documents
		return err
	}
	return os.WriteFile(filepath.Join(dir, s.Name+".json"), append(data, '\n'), 0o644) //nolint:gosec // a document
}

// Load reads all sections of dir, in their order.
func Load(dir string) ([]Section, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	sections := make([]Section, len(files))
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &sections[i]); err != nil {
			return nil, fmt.Errorf("report: %s: %w", file, err)
		}
	}
	slices.SortFunc(sections, func(a, b Section) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	return sections, nil
}

// check finds what would make a page that cannot be read.
func (s Section) check() error {
	if s.Name == "" || s.Name != filepath.Base(s.Name) || s.Title == "" {
		return fmt.Errorf("report: section %q %q needs a file name and a title", s.Name, s.Title)
	}
	for _, t := range s.Tables {
		for _, row := range t.Rows {
			if len(row) != len(t.Columns) {
				return fmt.Errorf("report: section %s, table %q: a row of %d cells under %d columns", s.Name, t.Title, len(row), len(t.Columns))
			}
		}
	}
	return nil
}
