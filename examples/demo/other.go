//go:build !linux

// Demo shows cleat's main job. It needs Linux, as cleat does.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "demo: cleat run needs Linux (a container or a virtual machine will do)")
	os.Exit(1)
}
