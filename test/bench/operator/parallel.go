package operator

import (
	"errors"
	"sync"
)

// inParallel calls f for each number from one to before another, with some
// workers, until one of them fails.
func inParallel(workers, from, to int, f func(i int) error) error {
	numbers := make(chan int)
	failed := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range numbers {
				if err := f(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	var err error
feed:
	for i := from; i < to; i++ {
		select {
		case numbers <- i:
		case err = <-failed:
			break feed
		}
	}
	close(numbers)
	wg.Wait()
	select {
	case last := <-failed:
		return errors.Join(err, last)
	default:
		return err
	}
}
