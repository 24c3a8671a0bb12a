package consulapi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// tokenSource is the ACL token of each request: fixed, or of a file that is read again when it changes. consul/api
// reads the file once. Safe for concurrent use.
type tokenSource struct {
	fixed string
	file  string // "" none

	mu   sync.Mutex
	info fs.FileInfo // of the last good read
	last string
}

// get is the token, "" for none. While the file cannot be read or is empty, which it is for a moment when written in
// place, the last good token stays.
func (t *tokenSource) get() (string, error) {
	if t.file == "" {
		return t.fixed, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.refresh()
	if err != nil && t.info == nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	return t.last, nil
}

func (t *tokenSource) refresh() error {
	info, err := os.Stat(t.file)
	if err != nil {
		return err
	}
	if old := t.info; old != nil && os.SameFile(old, info) && old.ModTime().Equal(info.ModTime()) && old.Size() == info.Size() {
		return nil
	}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(text))
	switch {
	case token == "":
		return errors.New(t.file + " is empty")
	case !validToken(token):
		return errors.New(t.file + " holds white space or other characters that no token has")
	}
	t.info, t.last = info, token
	return nil
}

// validToken reports whether token is visible ASCII, all that a header carries unchanged.
func validToken(token string) bool {
	return !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}
