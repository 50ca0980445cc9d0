"""Moving digits: forecasts of bouncing digits by our model and by a ConvLSTM, side by side."""
