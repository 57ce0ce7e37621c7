import './base.css';
import './line.css';
