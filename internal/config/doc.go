// Package config reads brokerd's configuration: built-in defaults, a YAML file, BROKERD_* environment variables and command
// line flags, each overriding the one before. All keys with their types, defaults and ranges are one table ([Keys]); the
// reference in docs/configuration.md and the example file deploy/brokerd.yaml are generated from it.
//
// Nothing is guessed: a key, variable or value that is not understood makes [Load] fail with one [Error] per problem, and the
// broker does not start. cmd/brokerd calls Load; everybody else is handed the finished [Config] and only reads it, so that
// it needs no lock. The package knows nothing of the broker's other packages.
package config
