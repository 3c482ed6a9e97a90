package remote

import (
	"context"
	"fmt"
	"sync"
)

// Each calls f for 0..n-1, parallel at once, until one fails; the others are
// cancelled then, and the error names the request. An ended context is its error.
func Each(ctx context.Context, n, parallel int, f func(ctx context.Context, i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var first error
	var once sync.Once
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, parallel) {
		workers.Go(func() {
			for i := range next {
				if err := f(run, i); err != nil {
					once.Do(func() { first = RequestError(n, i, err) })
					cancel()
				}
			}
		})
	}
	for i := 0; i < n && run.Err() == nil; i++ {
		select {
		case next <- i:
		case <-run.Done():
		}
	}
	close(next)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return first
}

// RequestError names a request where there are several.
func RequestError(n, i int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("request %d of %d: %w", i+1, n, err)
}
