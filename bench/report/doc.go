// Package report holds what the benchmarks found and draws it. Each section (calls on a stub, end to end, scale, weight)
// measures and returns plain data: figures with their spread, tables, plots, gates. Save keeps it as one JSON file with
// the machine, the versions and the date it was measured with; Render writes performance.md and its plots from those
// files alone. So no figure of the report is typed by hand, and a section can be measured anew without the others.
package report
