// Redis reads a key from a Redis service by its name in Consul: a go-redis client whose connections hop.DialContext makes.
//
//	CONSUL_HTTP_ADDR=127.0.0.1:8500 go run . cache:6379 greeting
//
// The host is the service (or "replica.cache.service.consul", by tag), its port is ignored. Connections are spread over
// the instances by how many each has; an instance that refuses is passed over. This suits servers of which any will do:
// replicas that are read, caches. For writes name the tag of the one that takes them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/onehop-go/onehop"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Stdout); err != nil {
		log.Fatal(err) // says what was tried: which instances, and what each answered
	}
}

func run(ctx context.Context, addr, key string, out io.Writer) error {
	hop, err := onehop.New() // reads CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, ... and does no I/O yet
	if err != nil {
		return err
	}
	defer hop.Close() //nolint:errcheck // the program ends
	client := open(hop, addr)
	defer client.Close() //nolint:errcheck // as above
	for range 3 {
		value, err := client.Get(ctx, key).Result()
		switch {
		case errors.Is(err, redis.Nil):
			value = "(nil)"
		case err != nil:
			return err
		}
		fmt.Fprintln(out, value)
	}
	return nil
}

// poolSize is the most connections of a client, and so the most that one dead instance can leave behind.
const poolSize = 8

// open is all that existing code needs: go-redis' own dialer replaced.
//
// go-redis makes a command again when its connection breaks, whatever the command: INCR may then count twice. A client
// for commands that must not be made twice has MaxRetries -1 and fails them instead. Retries of one command may meet one
// dead connection after another, so they are as many as there are connections. DialerRetries is 1, since DialContext has
// tried the other instances when it fails. The notifications of maintenance are Redis Enterprise's: to ask for them
// go-redis would look the host up itself, and DNS need not know a service.
func open(hop *onehop.Client, addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:          addr,
		Dialer:        hop.DialContext,
		DialerRetries: 1,
		PoolSize:      poolSize,
		MaxRetries:    poolSize,

		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
