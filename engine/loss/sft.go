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

// SFT adds the negative log-likelihood of one micro-batch to sum and returns the
// new sum. When all micro-batches of the step have passed, L = sum / N.
func SFT(sum float64, logps []float32) float64 {
	for _, lp := range logps {
		sum -= float64(lp)
	}
	return sum
}

// SFTGrad writes ∂L/∂logp for the targets of one micro-batch into dlogp.
// targetsInBatch is N, the number of target tokens of the whole step. The
// derivative does not depend on the log-probabilities, so the logits need to be
// computed only once.
func SFTGrad(dlogp []float32, targetsInBatch int) {
	d := float32(-1 / float64(targetsInBatch))
	for i := range dlogp {
		dlogp[i] = d
	}
}
