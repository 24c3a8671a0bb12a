package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// envRole names the variable by which a process learns that it is a child, and which. It is told the rest on its stdin.
const envRole = "ONEHOP_WIRE_ROLE"

// role is what a child is for.
type role string

const (
	roleEcho role = "echo" // an instance of the service
	roleLoad role = "load" // a load generator with one way of calling
)

// server is the work of a child: it answers what its parent asks.
type server interface {
	answer(request json.RawMessage) (any, error)
}

// A process that was started as a child is one from here on and never reaches its own main. So the report and the test
// binary can be instances and load generators, and need no program beside themselves.
func init() {
	r := role(os.Getenv(envRole))
	if r == "" {
		return
	}
	if err := serve(r, os.Stdin, os.NewFile(answersFile, "answers")); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", r, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// answersFile is where a child writes its answers: the first of exec.Cmd's ExtraFiles.
const answersFile = 3

// reply is a child's answer, in a line of JSON.
type reply struct {
	Answer any    `json:",omitempty"`
	Error  string `json:",omitempty"`
}

// serve opens the role with the first message and answers those that follow, until the parent closes in, which its end
// does too, however it ends.
func serve(r role, in io.Reader, out io.Writer) error {
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	var s server
	for {
		var request json.RawMessage
		if err := requests.Decode(&request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var answer any
		var err error
		if s == nil {
			s, err = open(r, request)
		} else {
			answer, err = s.answer(request)
		}
		if err := replies.Encode(newReply(answer, err)); err != nil {
			return err
		}
	}
}

func newReply(answer any, err error) reply {
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Answer: answer}
}

// open makes the server of a role.
func open(r role, setup json.RawMessage) (server, error) {
	switch r {
	case roleEcho:
		return openEcho(setup)
	case roleLoad:
		return openLoad(setup)
	}
	return nil, fmt.Errorf("no role %q", r)
}
