// Command kratoshttp calls a service over HTTP through kratos with p2c and a breaker; its Consul registry is a module apart
// and not in it.
package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-kratos/kratos/v2/middleware/circuitbreaker"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/p2c"
	kratos "github.com/go-kratos/kratos/v2/transport/http"
)

func main() {
	selector.SetGlobalSelector(p2c.NewBuilder())
	ctx := context.Background()
	client, err := kratos.NewClient(ctx, kratos.WithEndpoint("127.0.0.1:1"), kratos.WithMiddleware(circuitbreaker.Client()))
	if err != nil {
		panic(err)
	}
	var reply struct{}
	fmt.Println(client.Invoke(ctx, http.MethodGet, "/", nil, &reply), client.Close())
}
