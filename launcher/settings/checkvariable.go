package settings

import (
	"cleat/launcher/health"
	"cleat/registry"
)

// checkVariable is a variable about the check of a port.
type checkVariable struct {
	Variable
	key string // of a statement
	// kind is the check that it asks for; empty: it says more of one.
	kind health.Kind
	// of reports whether it means something for that check; nil: for every one.
	of func(c *health.Check) bool
	// set puts a text that is not empty into the check, or says what is wrong.
	set func(c *health.Check, text string) *Error
}

// checkVariables are all of them, in the order of the documentation. Of those
// that ask for a check, an earlier one beats a later one, as in Registrator.
var checkVariables = []checkVariable{
	{Variable{
		Name: "SERVICE_<port>_CHECK_HTTP", Example: "SERVICE_80_CHECK_HTTP=/health",
		Accepts: "a path, which may have a query",
		Means:   "The port is checked by HTTP: an answer of 2xx is passing, 429 is warning, anything else critical.",
	}, "check_http", health.HTTP, nil, setPath},
	{Variable{
		Name: "SERVICE_<port>_CHECK_HTTPS", Example: "SERVICE_443_CHECK_HTTPS=/health",
		Accepts: "a path, which may have a query",
		Means:   "The same by HTTPS. The certificate must be valid.",
	}, "check_https", health.HTTPS, nil, setPath},
	{Variable{
		Name: "SERVICE_<port>_CHECK_CMD", Example: "SERVICE_3306_CHECK_CMD=mysqladmin ping -P $SERVICE_PORT",
		Accepts: "a command; `$SERVICE_IP` and `$SERVICE_PORT` in it are what is checked",
		Means:   "The port is checked by a command: the exit status 0 is passing, 1 is warning, anything else critical.",
	}, "check_cmd", health.Command, nil, func(c *health.Check, text string) *Error {
		c.Command = text
		return checkCommand(text)
	}},
	{Variable{
		Name: "SERVICE_<port>_CHECK_SCRIPT", Example: "SERVICE_6379_CHECK_SCRIPT=redis-cli -p $SERVICE_PORT ping | grep -q PONG",
		Accepts: "a text for `/bin/sh -c`; `$SERVICE_IP` and `$SERVICE_PORT` in it are what is checked",
		Means:   "The same by a shell.",
	}, "check_script", health.Script, nil, setScript},
	{Variable{
		Name: "SERVICE_<port>_CHECK_TTL", Example: "SERVICE_80_CHECK_TTL=30s",
		Accepts: "a duration from 1s to 24h",
		Means:   "The child reports how it is, at least as often as this; without a report for so long, the port is critical.",
	}, "check_ttl", health.TTL, nil, func(c *health.Check, text string) *Error { return ttlSpan.put(&c.TTL, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_TCP", Example: "SERVICE_5432_CHECK_TCP=true",
		Accepts: "`true` or `false`; anything else means `true`",
		Means:   "The port is checked by TCP: it passes when it accepts a connection.",
	}, "check_tcp", health.TCP, nil, nil},
	{Variable{
		Name: "SERVICE_<port>_CHECK_GRPC", Example: "SERVICE_9000_CHECK_GRPC=true",
		Accepts: "`true` or `false`; anything else means `true`",
		Means:   "The port is checked by gRPC's health service (`grpc.health.v1.Health`): `SERVING` is passing, anything else critical.",
	}, "check_grpc", health.GRPC, nil, nil},

	{Variable{
		Name: "SERVICE_<port>_CHECK_HTTP_METHOD", Default: health.DefaultMethod, Example: "SERVICE_80_CHECK_HTTP_METHOD=HEAD",
		Accepts: "letters, at most 16",
		Means:   "The method of `CHECK_HTTP`.",
	}, "check_http_method", "", isKind(health.HTTP), setMethod},
	{Variable{
		Name: "SERVICE_<port>_CHECK_HTTPS_METHOD", Default: health.DefaultMethod, Example: "SERVICE_443_CHECK_HTTPS_METHOD=HEAD",
		Accepts: "letters, at most 16",
		Means:   "The method of `CHECK_HTTPS`.",
	}, "check_https_method", "", isKind(health.HTTPS), setMethod},
	{Variable{
		Name: "SERVICE_<port>_CHECK_GRPC_SERVICE", Example: "SERVICE_9000_CHECK_GRPC_SERVICE=shop.v1.Cart",
		Accepts: "a name of at most 255 bytes",
		Means:   "The service that gRPC's health service is asked about. Without it: the server as a whole.",
	}, "check_grpc_service", "", isKind(health.GRPC), setGRPCService},
	{Variable{
		Name: "SERVICE_<port>_CHECK_GRPC_USE_TLS", Default: "false", Example: "SERVICE_9000_CHECK_GRPC_USE_TLS=true",
		Accepts: "`true` or `false`",
		Means:   "Whether `CHECK_GRPC` uses TLS. The certificate must be valid then.",
	}, "check_grpc_use_tls", "", isKind(health.GRPC), func(c *health.Check, text string) *Error { return put(&c.TLS, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_TLS_SKIP_VERIFY", Default: "false", Example: "SERVICE_443_CHECK_TLS_SKIP_VERIFY=true",
		Accepts: "`true` or `false`",
		Means:   "Whether any certificate will do, for `CHECK_HTTPS` and `CHECK_GRPC_USE_TLS`.",
	}, "check_tls_skip_verify", "", usesTLS, func(c *health.Check, text string) *Error { return put(&c.SkipVerify, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_TLS_SERVER_NAME", Example: "SERVICE_443_CHECK_TLS_SERVER_NAME=www.example.org",
		Accepts: "a host's name or address",
		Means:   "Whom the certificate must be for, and whom the server is asked for. Without it: the address that is checked.",
	}, "check_tls_server_name", "", usesTLS, func(c *health.Check, text string) *Error {
		if err := registry.CheckAddress(text); err != nil {
			return wrong(err.Error(), "", "")
		}
		c.ServerName = text
		return nil
	}},
	{Variable{
		Name: "SERVICE_<port>_CHECK_INTERVAL", Default: duration(health.DefaultInterval), Example: "SERVICE_80_CHECK_INTERVAL=30s",
		Accepts: "a duration from 100ms to 24h",
		Means:   "From the start of one check to the start of the next, which never begins before the first has ended.",
	}, "check_interval", "", isRun, func(c *health.Check, text string) *Error { return intervalSpan.put(&c.Interval, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_TIMEOUT", Default: duration(health.DefaultTimeout), Example: "SERVICE_80_CHECK_TIMEOUT=2s",
		Accepts: "a duration from 10ms to 1h",
		Means:   "How long one check may take; then it is ended, commands are killed, and it is critical.",
	}, "check_timeout", "", isRun, func(c *health.Check, text string) *Error { return timeoutSpan.put(&c.Timeout, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_RISE", Default: "1", Example: "SERVICE_80_CHECK_RISE=2",
		Accepts: "a number from 1 to 100",
		Means:   "How many better outcomes in a row make the status better.",
	}, "check_rise", "", isRun, func(c *health.Check, text string) *Error { return putThreshold(&c.Rise, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_FALL", Default: "1", Example: "SERVICE_80_CHECK_FALL=3",
		Accepts: "a number from 1 to 100",
		Means:   "How many worse outcomes in a row make the status worse.",
	}, "check_fall", "", isRun, func(c *health.Check, text string) *Error { return putThreshold(&c.Fall, text) }},
	{Variable{
		Name: "SERVICE_<port>_CHECK_INITIAL_STATUS", Example: "SERVICE_80_CHECK_INITIAL_STATUS=passing",
		Accepts: "`passing`, `warning` or `critical`",
		Means:   "The status between the moment when the port listens and the first verdict. Without it: still `starting`.",
	}, "check_initial_status", "", nil, setInitial},
	{Variable{
		Name: "SERVICE_<port>_CHECK_DEREGISTER_AFTER", Example: "SERVICE_80_CHECK_DEREGISTER_AFTER=10m",
		Accepts: "a duration from 1s to 720h",
		Means:   "How long the check may be critical before the port is no longer registered; it is again when the check passes. Without it: for ever.",
	}, "check_deregister_after", "", nil, func(c *health.Check, text string) *Error { return deregisterSpan.put(&c.DeregisterAfter, text) }},
}

// checkFamilies are their descriptions.
var checkFamilies = func() []Variable {
	all := make([]Variable, len(checkVariables))
	for i, v := range checkVariables {
		all[i] = v.Variable
	}
	return all
}()
