// Package proto holds the protocol definitions of brokerd; the generated Go code lies beside them. It contains no code itself.
package proto

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate --template ../buf.gen.yaml -o .. ..
