package policy_test

import (
	"fmt"

	"github.com/onehop-go/onehop/policy"
)

func ExampleParse() {
	defaults := []byte("timeout: 2s")
	service := []byte(`
retry: {max_attempts: 2}
routes:
  - {name: charge, match: {methods: [POST], path_prefix: /v1/charges}, timeout: 5s}
`)
	p := policy.Default()
	for _, document := range [][]byte{defaults, service} {
		var err error
		if p, _, err = policy.Parse(document, p); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(p.Timeout, p.Routes[0].Timeout, p.Routes[0].Retry.MaxAttempts)
	// Output: 2s 5s 2
}

func ExampleProblems() {
	_, _, err := policy.Parse([]byte("retry:\n  max_attempts: 50\nhedge: 20%\n"), policy.Default())
	fmt.Println(err)
	// Output:
	// 2 problems
	// 2:17: retry.max_attempts: 50 is out of range: from 1 to 5
	//       max_attempts: 50
	//                     ^
	// 3:8: hedge: 20% is out of range: from 0% to 5%
	//     hedge: 20%
	//            ^
}
