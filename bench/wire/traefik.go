package wire

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"github.com/onehop-go/onehop/internal/consultest"
)

// traefikVersion is that of bench/traefik/go.mod.
const traefikVersion = "3.6.12"

// findTraefik returns the Traefik in the user's cache folder. A run in full builds it first from the module
// bench/traefik, which pins it: some minutes, once. A short one has no time for that.
func findTraefik(ctx context.Context, c *config) (path, lack string) {
	_, file, _, _ := runtime.Caller(0) //nolint:dogsled // three results that say nothing here
	tool := consultest.Tool{
		Name: "Traefik " + traefikVersion, File: "traefik-" + traefikVersion,
		Dir: filepath.Join(filepath.Dir(file), "..", "traefik"), Package: "github.com/traefik/traefik/v3/cmd/traefik",
	}
	path, err := tool.Path()
	if err == nil && c.Short {
		if _, err := os.Stat(path); err != nil {
			return "", "A run in full builds it, once."
		}
		return path, ""
	}
	if err == nil {
		path, err = tool.Build(ctx, c)
	}
	if err != nil {
		return "", "It could not be built: " + err.Error()
	}
	return path, ""
}
