package consultest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestToolIsBuiltAndKept(t *testing.T) {
	b := smallBuild(t)
	t.Setenv("XDG_CACHE_HOME", b.dir) // of Linux; elsewhere the tool is left in the user's own
	tool := Tool{Name: "Small", File: "small-test", Dir: b.dir, Package: "small"}
	path, err := tool.Build(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path) //nolint:errcheck // where the cache is the user's own
	if want, _ := tool.Path(); path != want {
		t.Errorf("built at %s, looked for at %s", path, want)
	}
	if err := exec.CommandContext(t.Context(), path).Run(); err != nil {
		t.Errorf("the tool does not run: %v", err)
	}
	if left, _ := filepath.Glob(path + ".part"); left != nil {
		t.Errorf("%v was left behind", left)
	}
}
