// Command standalone runs one of the embedded servers as a process of its own, so that a fault test can kill NATS without S3 and the services. It is not for
// production: a cluster has servers of its own.
//
//	standalone nats|s3 DIR HOST:PORT [synced|relaxed]
//
// User and access key are "pdfmill", password and secret key come from STANDALONE_SECRET. The buckets are inbox and pdfmill; S3 announces nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pdfmill/pdfmill/embedded"
)

const name = "pdfmill"

func main() {
	if err := run(os.Args[1:], os.Getenv("STANDALONE_SECRET")); err != nil {
		fmt.Fprintln(os.Stderr, "standalone:", err)
		os.Exit(1)
	}
}

func run(args []string, secret string) error {
	if len(args) < 3 {
		return errors.New("usage: standalone nats|s3 DIR HOST:PORT [synced|relaxed]")
	}
	durability := embedded.Synced
	if len(args) > 3 {
		durability = embedded.Durability(args[3])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var end func(context.Context) error
	switch args[0] {
	case "nats":
		s, err := embedded.StartNATS(ctx, embedded.NATSConfig{
			Dir: args[1], Addr: args[2], Durability: durability, Users: []embedded.User{{Name: name, Password: secret}},
		})
		if err != nil {
			return err
		}
		end = s.Stop
	case "s3":
		s, err := embedded.StartS3(ctx, embedded.S3Config{
			Dir: args[1], Addr: args[2], Durability: durability, Buckets: []string{"inbox", "pdfmill"},
			Accounts: []embedded.Account{{Access: name, Secret: secret}},
		})
		if err != nil {
			return err
		}
		end = s.Stop
	default:
		return fmt.Errorf("%q is neither nats nor s3", args[0])
	}
	fmt.Println("listening")
	<-ctx.Done()
	return end(context.WithoutCancel(ctx))
}
