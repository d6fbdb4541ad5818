// Package browser looks at the dashboard of a real server with a real browser:
// headless Chromium, over the protocol of its developer tools. It is a module of
// its own, so that nothing of that is among the project's dependencies.
//
//	go test ./...                    # skips when there is no Chromium
//	CLEAT_E2E=1 go test ./...        # fails instead
//	go test -run Screenshots -docs   # makes the pictures in docs/ again
package browser
