"""What a plan looks like without a widget: the bit heat map as pixels, figures as text, and which of them stand out."""
