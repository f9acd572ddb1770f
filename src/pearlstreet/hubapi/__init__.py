"""The Hugging Face Hub API below `/hf`: repositories as the official clients use them."""
