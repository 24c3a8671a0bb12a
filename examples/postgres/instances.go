package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onehop-go/onehop"
	"github.com/onehop-go/onehop/resolver"
)

// instances is a pool for each instance. One pool over all of them picks an instance per connection; here onehop.Do
// picks one per query, by how fast and how well each answers, and the policy's timeout, retries and hedges hold for
// queries. Do needs to know which instance a query goes to: around a pool over several, it would judge the wrong one.
type instances struct {
	ledger *onehop.Upstream
	config *pgxpool.Config

	mu    sync.Mutex
	pools map[string]*pgxpool.Pool // by address; one of an instance that is gone idles without connections
}

// perInstance prepares the pools for the service that the DSN names.
func perInstance(hop *onehop.Client, dsn string) (*instances, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return &instances{ledger: hop.Upstream(config.ConnConfig.Host), config: config, pools: map[string]*pgxpool.Pool{}}, nil
}

// read makes a query that may be made twice.
func (i *instances) read(ctx context.Context, sql string) (string, error) {
	return onehop.Do(ctx, i.ledger, func(ctx context.Context, ep resolver.Endpoint) (string, error) {
		pool, err := i.at(ep) //nolint:contextcheck // a pool outlives the query that needs it first
		if err != nil {
			return "", err
		}
		return readOnce(ctx, pool, sql)
	}, onehop.Method("read"), onehop.Idempotent(), onehop.Classify(judge))
}

// judge says that a broken connection is the instance's failure, also when it took its leave with a FATAL. The rest is
// left to Do: it knows refused connections, and any other error is Postgres' answer to the query.
func judge(err error) onehop.Outcome {
	if errors.Is(err, errBroken) {
		return onehop.OutcomeFailed
	}
	return ""
}

// at is the pool of an instance. Making it does no I/O.
func (i *instances) at(ep resolver.Endpoint) (*pgxpool.Pool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if pool := i.pools[ep.Addr]; pool != nil {
		return pool, nil
	}
	config, err := configFor(i.config, ep.Addr)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err == nil {
		i.pools[ep.Addr] = pool
	}
	return pool, err
}

// configFor is config with the address of one instance. The name that TLS verifies stays the service's.
func configFor(config *pgxpool.Config, addr string) (*pgxpool.Config, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	config = config.Copy()
	config.ConnConfig.Host, config.ConnConfig.Port = host, uint16(number)
	for _, other := range config.ConnConfig.Fallbacks { // of sslmode=prefer: the same once more, without TLS
		other.Host, other.Port = host, uint16(number)
	}
	return config, nil
}

func (i *instances) close() {
	for _, pool := range i.pools {
		pool.Close()
	}
}
