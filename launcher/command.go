package launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/shlex"

	"cleat/launcher/process"
)

// runCommand runs a command to its end, for at most limit: an action, a check, a
// hook, a task, or what makes and undoes a volume. Its error is the one of
// [process.Run].
func runCommand(ctx context.Context, k process.Kernel, spec process.Spec, limit time.Duration) error {
	bounded, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", round(limit)))
	defer cancel()
	return process.Run(bounded, k, spec)
}

// splitCommand splits a command into its words. Package settings has seen that
// it can be.
func splitCommand(text string) ([]string, error) {
	words, err := shlex.Split(text)
	if err != nil || len(words) == 0 {
		// Not the cause: it may quote the command.
		return nil, errors.New("the command cannot be split into words")
	}
	return words, nil
}
