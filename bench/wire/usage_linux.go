package wire

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf is what the processes have computed since their start, to the nanosecond: /proc/PID/stat counts in hundredths
// of a second, as much as 200 calls.
func cpuOf(pids []int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED: the scheduler's own count, of all threads, the ended ones too
	var total time.Duration
	for _, pid := range pids {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid)<<3|sched, &t); err != nil { // clock_getcpuclockid(3), as glibc makes it
			return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
		}
		total += time.Duration(t.Nano())
	}
	return total, nil
}

// memoryOf is the memory of the processes in bytes, what they share counted once.
func memoryOf(pids []int) (int64, error) {
	var total int64
	for _, pid := range pids {
		kilobytes, err := proportional(pid)
		if err != nil {
			return 0, err
		}
		total += kilobytes << 10
	}
	return total, nil
}

// proportional is the process's resident set, each shared page divided by the number of those who share it.
func proportional(pid int) (int64, error) {
	name := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			return strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s does not tell Pss", name)
}

// withChildren are the processes and those they started: nginx's master has its workers.
func withChildren(pid int) []int {
	all := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return all // a kernel that does not tell has no children to count
	}
	for field := range strings.FieldsSeq(string(b)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(all, child)
		}
	}
	return all
}
