package report

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Run says where and when a section was measured.
type Run struct {
	Date    time.Time         `json:"date"` // its end, UTC
	Took    string            `json:"took"`
	Cores   int               `json:"cores"` // that this process may use
	CPU     string            `json:"cpu"`
	Kernel  string            `json:"kernel"` // with the operating system: "linux 6.1.0"
	Go      string            `json:"go"`
	Commit  string            `json:"commit,omitempty"`  // of onehop; "+" at its end: with changes
	Modules map[string]string `json:"modules,omitempty"` // path to version of those that are compared
	Short   bool              `json:"short,omitempty"`   // measured with Options.Short: means nothing
}

// Ran describes this process's run of a section that began at began.
func Ran(ctx context.Context, began time.Time, o Options) Run {
	return Run{
		Date: time.Now().UTC().Truncate(time.Second), Took: time.Since(began).Round(time.Second).String(),
		Cores: runtime.NumCPU(), CPU: cpuModel(), Kernel: runtime.GOOS + " " + output(ctx, "uname", "-r"),
		Go: runtime.Version(), Commit: commit(ctx), Modules: modules(), Short: o.Short,
	}
}

// compared are the prefixes of the modules whose versions matter to a reader.
var compared = []string{
	"github.com/failsafe-go/", "github.com/hashicorp/go-retryablehttp", "github.com/sony/gobreaker", "github.com/gojek/heimdall",
	"github.com/go-kratos/", "github.com/zeromicro/", "google.golang.org/grpc", "github.com/HdrHistogram/",
}

func modules() map[string]string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	versions := map[string]string{}
	for _, m := range info.Deps {
		for _, prefix := range compared {
			if strings.HasPrefix(m.Path, prefix) {
				versions[m.Path] = m.Version
			}
		}
	}
	return versions
}

// cpuModel is Linux's own word for the first core; elsewhere the architecture.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close() //nolint:errcheck // only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func commit(ctx context.Context) string {
	hash := output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if hash != "" && output(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ":/*.go", ":/*go.mod") != "" {
		hash += "+"
	}
	return hash
}

// output is what a program prints, or nothing if it fails: a report without git or uname says less, and is no less true.
func output(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
