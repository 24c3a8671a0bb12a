package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/onehop-go/onehop"

// ranks give each package of the module its height. A package may import what stands lower, and of its own height only
// where the height is a workshop whose tools use each other (the compiler forbids circles). Tests may import anything.
var ranks = []struct {
	workshop bool
	packages []string
}{
	{false, []string{"consul", "internal/dialer"}},
	{false, []string{"internal/consulapi", "internal/consultest", "internal/archtest", "faults", "faults/report", "faults/mutate"}},
	{false, []string{"resolver", "policy"}}, // neither knows the other
	{true, []string{"internal/engine", "internal/health", "internal/balance", "internal/overload", "internal/membership"}},
	{false, []string{"internal/bridge"}},
	{false, []string{""}}, // onehop itself
	{false, []string{"httpclient", "grpcresolver"}},
	{false, []string{"grpcresolver/register"}},
	{false, []string{"examples/http", "examples/grpc", "examples/quickstart"}},
}

// restricted are libraries that only some packages may import, for what they cost whoever imports those.
var restricted = []struct {
	heavy string
	only  []string // prefixes of packages
}{
	{"google.golang.org/grpc", []string{"grpcresolver", "examples/grpc", "examples/quickstart"}},
	{"google.golang.org/protobuf", []string{"grpcresolver", "examples/grpc", "examples/quickstart"}},
	{"github.com/hashicorp/consul/api", []string{"internal/consulapi"}},
	{"github.com/sony/gobreaker", []string{"internal/health"}},
	{"github.com/cenkalti/backoff", []string{"internal/engine"}},
	{"go.yaml.in/yaml", []string{"policy"}},
	{"golang.org/x/term", []string{"internal/consultest", "examples/quickstart"}},
	{"testing", nil}, // it registers flags and weighs; consultest has an interface instead
	{"html/template", nil},
	{module + "/internal/consultest", []string{"examples"}},
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Imports    []string
}

// packages lists the module's packages with what they import, tests aside.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"/...")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// short is a path inside the module; ok is false for another module's.
func short(path string) (name string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

// rank is a package's place in ranks; -1 when it has none.
func rank(name string) int {
	return slices.IndexFunc(ranks, func(r struct {
		workshop bool
		packages []string
	}) bool {
		return slices.Contains(r.packages, name)
	})
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name, _ := short(p.ImportPath)
		from := rank(name)
		if from < 0 {
			t.Errorf("package %q has no rank yet: say in this test what may import it", name)
			continue
		}
		for _, imported := range p.Imports {
			other, ours := short(imported)
			if !ours {
				continue
			}
			if to := rank(other); to > from || to == from && !ranks[from].workshop {
				t.Errorf("%q imports %q, which does not stand below it", name, other)
			}
		}
	}
}

func TestHeavyLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		name, _ := short(p.ImportPath)
		for _, imported := range p.Imports {
			for _, r := range restricted {
				if !under(imported, r.heavy) || allowed(name, r.only) {
					continue
				}
				t.Errorf("%q imports %s, which only %q may", name, imported, r.only)
			}
		}
	}
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func allowed(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return under(name, prefix) })
}
