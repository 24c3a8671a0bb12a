// Postgres queries a Postgres service by its name in Consul: a pgxpool whose connections hop.DialContext makes.
//
//	CONSUL_HTTP_ADDR=127.0.0.1:8500 go run . postgres://user@ledger/postgres?sslmode=disable
//
// The host of the DSN is the service (or "replica.ledger.service.consul", by tag), its port is ignored. Connections are
// spread over the instances by how many each has; an instance that refuses is passed over. A connection that breaks
// under a query is the query's matter, since only its author knows whether it may be executed twice: see read.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onehop-go/onehop"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Stdout); err != nil {
		log.Fatal(err) // says what was tried: which instances, and what each answered
	}
}

// whoAnswers is a query that changes nothing, and so may be made twice.
const whoAnswers = "select current_setting('port')"

func run(ctx context.Context, dsn string, out io.Writer) error {
	hop, err := onehop.New() // reads CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ... and does no I/O yet
	if err != nil {
		return err
	}
	defer hop.Close() //nolint:errcheck // the program ends
	pool, err := open(ctx, hop, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	instances, err := perInstance(hop, dsn) //nolint:contextcheck // discovery outlives the call that begins it
	if err != nil {
		return err
	}
	defer instances.close()
	for range 3 {
		port, err := read(ctx, pool, whoAnswers)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "one pool:", port)
		if port, err = instances.read(ctx, whoAnswers); err != nil {
			return err
		}
		fmt.Fprintln(out, "a pool per instance:", port)
	}
	return nil
}

// open is all that existing code needs: one pool, and pgx's own dialer and look-up replaced.
func open(ctx context.Context, hop *onehop.Client, dsn string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.ConnConfig.DialFunc, config.ConnConfig.LookupFunc = hop.DialContext, hop.LookupHost
	return pgxpool.NewWithConfig(ctx, config)
}

// read makes a query that may be made twice, and makes it again while its connection turns out to be dead. The pool
// drops each such connection, so that one attempt more than it has connections gets a fresh one, which hop.DialContext
// makes to an instance that lives.
func read(ctx context.Context, pool *pgxpool.Pool, sql string) (answer string, err error) {
	for range pool.Config().MaxConns + 1 {
		if answer, err = readOnce(ctx, pool, sql); !errors.Is(err, errBroken) {
			break
		}
	}
	return answer, err
}

// errBroken says that the connection died under a query, which may or may not have been executed.
var errBroken = errors.New("connection broken")

func readOnce(ctx context.Context, pool *pgxpool.Pool, sql string) (answer string, err error) {
	conn, err := pool.Acquire(ctx)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET): // it died while pgx shook hands
		return "", fmt.Errorf("%w: %w", errBroken, err)
	case err != nil:
		return "", err
	}
	defer conn.Release()
	err = conn.QueryRow(ctx, sql).Scan(&answer)
	// pgx closes a connection that is lost, at an error of the network as at a FATAL of the server; with any other error
	// the server has answered. It closes it as well when ctx ends, which is no reason to try again.
	if err != nil && conn.Conn().IsClosed() && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	return answer, err
}
