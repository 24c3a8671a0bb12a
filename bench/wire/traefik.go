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
func findTraefik(ctx context.Context, c *config) (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) { // -trimpath
		return "", nil
	}
	tool := consultest.Tool{
		Name: "Traefik " + traefikVersion, File: "traefik-" + traefikVersion,
		Dir: filepath.Join(filepath.Dir(file), "..", "traefik"), Package: "github.com/traefik/traefik/v3/cmd/traefik",
	}
	if !c.Short {
		return tool.Build(ctx, c)
	}
	path, err := tool.Path()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", nil //nolint:nilerr // not built: not here
	}
	return path, nil
}
