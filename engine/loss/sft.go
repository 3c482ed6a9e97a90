package loss

// Supervised fine-tuning: cross-entropy on the completion tokens only.
//
// Source      the label masking of TRL's SFTTrainer (completion_only_loss) and
//             transformers' loss/loss_utils.py, ForCausalLMLoss with
//             num_items_in_batch (5.23); goldens: torch 2.15, peft 0.21.2.
// Formula     L = -(1/N) Σ_i logp_i        over every target token i
//             ∂L/∂logp_i = -1/N
// Sign        a loss, to be minimised; logp is the natural logarithm, <= 0.
// Reduction   mean per token over all targets of the whole accumulated batch:
//             N counts the targets of every micro-batch of the step, not those
//             of this call, so 8 x 1 and 1 x 8 are the same loss.
// Deviations  the sum is float64 and runs over the targets in data order,
//             continued from one micro-batch to the next; PyTorch sums float32
//             in an unspecified order. What the mask covers is the caller's
//             choice; the newline after an end-of-turn token is not trained.

// SFT adds the negative log-likelihood of one micro-batch to sum and writes
// ∂L/∂logp into dlogp, which must be as long as logps. targetsInBatch is N, the
// number of target tokens of the whole step. It returns the new sum; when all
// micro-batches have passed, L = sum / N.
func SFT(sum float64, dlogp, logps []float32, targetsInBatch int) float64 {
	d := float32(-1 / float64(targetsInBatch))
	dlogp = dlogp[:len(logps)]
	for i, lp := range logps {
		sum -= float64(lp)
		dlogp[i] = d
	}
	return sum
}
