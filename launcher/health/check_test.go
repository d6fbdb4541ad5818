package health

import "testing"

func TestWhat(t *testing.T) {
	for want, c := range map[string]Check{
		"GET /health by HTTP":              {Kind: HTTP, Path: "/health"},
		"HEAD / by HTTPS":                  {Kind: HTTPS, Path: "/", Method: "HEAD"},
		"check -x":                         {Kind: Command, Command: "check -x"},
		`sh -c 'echo '\''a'\'''`:           {Kind: Script, Command: "echo 'a'"},
		"the child's own reports":          {Kind: TTL},
		"connecting by TCP":                {Kind: TCP},
		"gRPC health":                      {Kind: GRPC},
		"gRPC health of shop.Cart, by TLS": {Kind: GRPC, Service: "shop.Cart", TLS: true},
	} {
		if got := c.What(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
